"""The environment → one frozen value, or a sentence that names the variable and the remedy."""

import pytest

from savedmodel_operator.settings import SettingsError, parse

LEAST = {
    "OPERATOR_IMAGE": "registry.example/operator:1",
    "ROUTER_IMAGE": "registry.example/envoy:1",
    "POD_NAMESPACE": "savedmodel-system",
    "POD_NAME": "operator-0",
}


def test_the_least_environment_and_the_defaults():
    settings = parse(LEAST)
    assert settings.operator_image == "registry.example/operator:1"
    assert settings.namespaces == ()
    assert settings.workers == 4
    assert settings.port == 8080
    assert settings.storage_secret_names == ("savedmodel-storage",)
    assert settings.kubeconfig is None


def test_every_variable_is_read(tmp_path):
    config = tmp_path / "config"
    config.write_text("{}")
    settings = parse(
        LEAST
        | {
            "SAVEDMODEL_NAMESPACES": " a, b ,a,",
            "IMAGE_PULL_POLICY": "Always",
            "IMAGE_PULL_SECRETS": "pull",
            "ALLOWED_ENDPOINTS": "s3.example,10.0.0.1:9000",
            "ALLOWED_PROMETHEUS": "prometheus.monitoring:9090",
            "STORAGE_SECRET_NAMES": "one,two",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "DEBUG",
            "WORKERS": "9",
            "STORAGE_THREADS": "2",
            "LEASE_NAME": "lease",
            "PORT": "0",
            "HOST": "127.0.0.1",
            "KUBECONFIG": str(config),
            "OPERATOR_VERSION": "1.2.3",
        }
    )
    assert settings.namespaces == ("a", "b")
    assert settings.image_pull_policy == "Always"
    assert settings.image_pull_secrets == ("pull",)
    assert settings.allowed_endpoints == ("s3.example", "10.0.0.1:9000")
    assert settings.allowed_prometheus == ("prometheus.monitoring:9090",)
    assert settings.storage_secret_names == ("one", "two")
    assert (settings.log_format, settings.log_level) == ("json", "DEBUG")
    assert (settings.workers, settings.storage_threads, settings.port) == (9, 2, 0)
    assert (settings.lease_name, settings.host, settings.version) == ("lease", "127.0.0.1", "1.2.3")
    assert settings.kubeconfig == str(config)
    plans = settings.for_plans
    assert plans.operator_namespace == "savedmodel-system"
    assert plans.image_pull_secrets == ("pull",)


BAD = {
    "SAVEDMODEL_NAMESPACES": ("Not_A_Name", "namespace names"),
    "IMAGE_PULL_POLICY": ("Sometimes", "IfNotPresent, Always, Never"),
    "LOG_FORMAT": ("xml", "text, json"),
    "LOG_LEVEL": ("loud", "INFO, DEBUG"),
    "WORKERS": ("many", "a whole number from 1 to 64"),
    "STORAGE_THREADS": ("0", "a whole number from 1 to 64"),
    "PORT": ("65536", "a whole number from 0 to 65535"),
    "KUBECONFIG": ("/nowhere/at/all", "the path of a kubeconfig"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_value_is_refused_with_the_remedy(name):
    value, remedy = BAD[name]
    with pytest.raises(SettingsError) as caught:
        parse(LEAST | {name: value})
    assert f"environment variable {name}" in str(caught.value)
    assert value in str(caught.value)
    assert remedy in str(caught.value)


@pytest.mark.parametrize("name", LEAST)
def test_what_is_required_is_asked_for(name):
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        parse({k: v for k, v in LEAST.items() if k != name})
    with pytest.raises(SettingsError, match=f"{name} is not set"):
        parse(LEAST | {name: "  "})
