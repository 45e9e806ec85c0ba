"""Starting and ending the real process: flags, failures, changes of versions and configuration.

Behaviour of model_servers/main.cc, server.cc and server_core.cc of TensorFlow Serving; the
messages of loads that fail are the runtime's own.
"""

from __future__ import annotations

import shutil
import signal

import pytest

from .conftest import free_port, is_open, launch, model_entry, serving, wait_until


def end(tmp_path, *flags):
    """Exit code and output of a start that fails."""
    log = tmp_path / "out"
    return launch(log, *flags).wait(120), log.read_text()


def ports():
    return [f"--port={free_port()}", f"--rest_api_port={free_port()}"]


def test_version_says_what_this_is_not(tmp_path):
    code, text = end(tmp_path, "--version")
    assert code == 0
    assert "NOT TensorFlow Serving. A stand-in for development and tests only." in text
    assert "TensorFlow Library: 2." in text


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--no_such_flag=1"], "unknown argument: --no_such_flag=1"),
        (["--port", "8500"], "unknown argument: --port"),
        (["--port=x"], "Couldn't interpret value x for flag port."),
        (["--prefer_tflite_model"], "does not implement"),
    ],
)
def test_bad_flags_end_with_the_usage(tmp_path, flags, text):
    code, output = end(tmp_path, *flags)
    assert code == 255
    assert text in output
    assert "--rest_api_port=0" in output


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ([], "Both server_options.model_base_path and server_options.model_config_file are empty!"),
        (["--port=0", "--model_base_path=/x"], "At least one of server_options.grpc_port"),
        (["--model_base_path=/x", "--batching_parameters_file=/x"],
         "server_options.batching_parameters_file is set without setting "
         "server_options.enable_batching to true."),
        (["--model_base_path=x"],
         "Expected model default to have an absolute path or URI; got base_path()=x"),
    ],
)  # fmt: skip
def test_bad_options_fail_the_start(tmp_path, flags, text):
    code, output = end(tmp_path, *flags)
    assert code == 255
    assert f"Failed to start server. Error: INVALID_ARGUMENT: {text}" in output


# Facts of the runtime's loader; saved_model_warmup.cc: a failing record fails the load.
@pytest.mark.parametrize(
    ("model", "text"),
    [
        ("shard_gone", "NOT_FOUND: "),
        ("cut", "OUT_OF_RANGE: "),
        ("warm_failing", 'FAILED_PRECONDITION: Serving signature key "absent" not found.'),
    ],
)
def test_a_model_that_cannot_load_fails_the_start(tmp_path, models, model, text):
    code, output = end(
        tmp_path, *ports(), f"--model_name={model}", f"--model_base_path={models / model}",
        "--max_num_load_retries=1", "--load_retry_interval_micros=1000",
    )  # fmt: skip
    assert code == 255
    assert (
        "Failed to start server. Error: UNKNOWN: 1 servable(s) did not become available: "
        f"{{{{{{name: {model} version: 1}} due to error: {text}"
    ) in output
    assert output.count(f"Loading servable: {{name: {model} version: 1}} failed: ") == 2
    assert f"Retrying of Loading servable: {{name: {model} version: 1}} retry: 1" in output


def test_warm_up_can_be_switched_off(tmp_path, models):
    with serving(
        tmp_path, "--model_name=m", f"--model_base_path={models / 'warm_failing'}",
        "--enable_model_warmup=false",
    ) as server:  # fmt: skip
        assert server.predict("m", {"instances": [2.0]}).json == {"predictions": [4.0]}
        # Signals have their default effect; every other server here ends by SIGTERM.
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(30) == -signal.SIGINT


def test_tags_choose_the_graph(tmp_path, models):
    code, output = end(
        tmp_path, *ports(), f"--model_base_path={models / 'half'}", "--saved_model_tags=serve,tpu",
        "--max_num_load_retries=0",
    )  # fmt: skip
    assert code == 255
    assert "Could not find meta graph def matching supplied tags: { " in output


def test_ports_open_only_when_a_version_is_available(tmp_path, models):
    """An empty base path is waited for; the version that appears opens the ports."""
    base = tmp_path / "base"
    base.mkdir()
    rest_port, grpc_port = free_port(), free_port()
    log = tmp_path / "out"
    process = launch(
        log, f"--port={grpc_port}", f"--rest_api_port={rest_port}", f"--model_base_path={base}"
    )
    from .conftest import Server

    server = Server(process, grpc_port, rest_port, log)
    try:
        wait_until(lambda: "No versions of servable default" in log.read_text(), server, "no look")
        assert not is_open(rest_port)
        assert not is_open(grpc_port)
        shutil.copytree(models / "half" / "124", base / "coming")
        (base / "coming").rename(base / "7")
        wait_until(lambda: is_open(rest_port), server, "not open")
        assert server.predict("default", {"instances": [2.0]}).json == {"predictions": [4.0]}
        assert (
            server.rest("GET", "/v1/models/default").json["model_version_status"][0]["version"]
            == "7"
        )
    finally:
        server.stop()


def test_a_newer_version_takes_over_and_a_broken_one_does_not(tmp_path, models):
    base = tmp_path / "base"
    shutil.copytree(models / "half" / "00000123", base / "1")
    with serving(tmp_path, f"--model_base_path={base}", "--max_num_load_retries=0") as server:

        def states():
            found = server.rest("GET", "/v1/models/default").json["model_version_status"]
            return {entry["version"]: entry["state"] for entry in found}

        shutil.copytree(models / "cut" / "1", tmp_path / "broken")
        (tmp_path / "broken").rename(base / "2")
        wait_until(lambda: states().get("2") == "END", server, "2 not refused")
        assert states() == {"2": "END", "1": "AVAILABLE"}
        failed = server.rest("GET", "/v1/models/default/versions/2").json
        assert failed["model_version_status"][0]["status"]["error_code"] == "OUT_OF_RANGE"
        assert server.predict("default", {"instances": [2.0]}).json == {"predictions": [3.0]}

        shutil.copytree(models / "half" / "124", tmp_path / "good")
        (tmp_path / "good").rename(base / "3")
        wait_until(lambda: states() == {"3": "AVAILABLE", "2": "END", "1": "END"}, server, "no 3")
        assert server.predict("default", {"instances": [2.0]}).json == {"predictions": [4.0]}


def test_the_configuration_is_read_again(tmp_path, models):
    """tensorflow_model_server_test.py: testModelConfigReload."""
    config = tmp_path / "models.txt"

    def write(name):
        draft = tmp_path / "draft"
        draft.write_text(f"model_config_list {{ {model_entry(name, models / 'half')} }}")
        draft.rename(config)

    write("first")
    with serving(
        tmp_path, f"--model_config_file={config}", "--model_config_file_poll_wait_seconds=1"
    ) as server:
        assert server.rest("GET", "/v1/models/first/metadata").status == 200
        write("second")
        wait_until(
            lambda: server.rest("GET", "/v1/models/second/metadata").status == 200
            and server.rest("GET", "/v1/models/first/metadata").status == 404,
            server, "not read again",
        )  # fmt: skip


def test_an_unreadable_configuration_fails_the_start(tmp_path):
    """tensorflow_model_server_test.py: testBadModelConfig."""
    config = tmp_path / "models.txt"
    config.write_text("improperly formatted file contents\n")
    code, output = end(tmp_path, *ports(), f"--model_config_file={config}")
    assert code == 255
    assert "Error parsing text-format tensorflow.serving.ModelServerConfig" in output
    assert f"INVALID_ARGUMENT: Invalid protobuf file: '{config}'" in output


def test_labels_at_startup_need_the_flag(tmp_path, models):
    """server_core.cc resolves labels before anything is loaded."""
    config = tmp_path / "models.txt"
    label = 'version_labels { key: "stable" value: 124 }'
    config.write_text(f"model_config_list {{ {model_entry('half', models / 'half', label)} }}")
    code, output = end(tmp_path, *ports(), f"--model_config_file={config}")
    assert code == 255
    assert (
        "FAILED_PRECONDITION: Request to assign label to version 124 of model half, which is not "
        "currently available for inference"
    ) in output


def test_method_names_are_checked_when_asked(tmp_path, models):
    """predict_util_test.cc MethodNameCheck; classifier.cc."""
    with serving(
        tmp_path, "--model_name=half", f"--model_base_path={models / 'half'}",
        "--enable_signature_method_name_check=true",
    ) as server:  # fmt: skip
        body = {"signature_name": "regress_x_to_y", "examples": [{"x": 2.0}]}
        assert server.rest("POST", "/v1/models/half:regress", body).json == {"results": [4.0]}
        refused = server.rest("POST", "/v1/models/half:classify", body)
        assert refused.error == (
            "Expected classification signature method_name to be tensorflow/serving/classify. "
            "Was: tensorflow/serving/regress"
        )


def test_rest_calls_have_a_timeout(tmp_path, models):
    """http_rest_api_handler.cc makes the flag the session run's timeout."""
    with serving(
        tmp_path, f"--model_base_path={models / 'zoo'}", "--rest_api_timeout_in_ms=200"
    ) as server:
        reply = server.predict("default", {"signature_name": "slow", "instances": [50_000_000]})
        assert (reply.status, reply.error) == (504, "Timed out waiting for notification")
        assert server.predict("default", {"instances": [[1.0, 2.0]]}).json == {"predictions": [3.0]}


def test_batching_joins_requests(tmp_path, models):
    """batching_session_test.cc: a batch runs once it is full; each caller gets its own rows."""
    from concurrent.futures import ThreadPoolExecutor

    parameters = tmp_path / "batching.txt"
    # The timeout is far beyond the test: only a full batch can answer.
    parameters.write_text(
        "max_batch_size { value: 4 } batch_timeout_micros { value: 60000000 } "
        "num_batch_threads { value: 1 }"
    )
    monitoring = tmp_path / "monitoring.txt"
    monitoring.write_text('prometheus_config { enable: true path: "/m" }')
    with serving(
        tmp_path, f"--model_base_path={models / 'half'}", "--enable_batching",
        f"--batching_parameters_file={parameters}", f"--monitoring_config_file={monitoring}",
    ) as server:  # fmt: skip
        with ThreadPoolExecutor(4) as pool:
            replies = list(
                pool.map(lambda n: server.predict("default", {"instances": [n]}).json, range(4))
            )
        assert replies == [{"predictions": [n / 2 + 3]} for n in range(4)]
        page = server.rest("GET", "/m").body.decode()
        assert ":tensorflow:serving:batching_session:wrapped_run_count{} 1\n" in page
        assert server.predict("default", {"instances": [1] * 5}).error == (
            "Task size 5 is larger than maximum input batch size 4"
        )
        assert server.predict("default", {"inputs": 3}).error == (
            "Batching Run() input tensors must have at least one dimension"
        )
