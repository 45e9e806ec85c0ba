"""Flags, paths, configuration files, status codes and the metrics page.

Vectors: xla/tsl/util/command_line_flags.cc, model_servers/http_rest_api_util_test.cc,
model_servers/http_rest_api_handler_test.cc, model_servers/server_core_test.cc,
model_servers/http_server.cc and util/prometheus_exporter_test.cc.
"""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from tensorflow_serving_compatible import config, protos
from tensorflow_serving_compatible.errors import Code, StatusError, http_status
from tensorflow_serving_compatible.flags import FlagError, Flags, parse, usage
from tensorflow_serving_compatible.metrics import LATENCY, Counter, Metrics, Sampler, exponential
from tensorflow_serving_compatible.model import session_options
from tensorflow_serving_compatible.rest_api import API, Target, parse_target


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--port=8501", "port", 8501), ("--port= +7", "port", 7), ("--port=-1", "port", -1),
        ("--load_retry_interval_micros=9999999999", "load_retry_interval_micros", 9999999999),
        ("--enable_batching", "enable_batching", True),
        ("--enable_batching=TRUE", "enable_batching", True),
        ("--enable_batching=1", "enable_batching", True),
        ("--enable_model_warmup=false", "enable_model_warmup", False),
        ("--enable_model_warmup=0", "enable_model_warmup", False),
        ("--model_name=a=b", "model_name", "a=b"), ("--model_name=", "model_name", ""),
        ("--per_process_gpu_memory_fraction=0.9", "per_process_gpu_memory_fraction", 0.9),
        # A flag that is not implemented may be given its default.
        ("--prefer_tflite_model=false", "prefer_tflite_model", False),
    ],
)  # fmt: skip
def test_flags(argument, name, value):
    assert getattr(parse([argument]), name) == value


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "8501"], "unknown argument: --port"),
        (["--noenable_batching"], "unknown argument: --noenable_batching"),
        (["-port=1"], "unknown argument: -port=1"),
        (["model"], "unknown argument: model"),
        (["--"], "unknown argument: --"),
        (["--enable_batchings"], "unknown argument: --enable_batchings"),
        (["--model_name"], "unknown argument: --model_name"),
        (["--port=1x"], "Couldn't interpret value 1x for flag port."),
        (["--port=2147483648"], "Couldn't interpret value 2147483648 for flag port."),
        (["--enable_batching=yes"], "Couldn't interpret value yes for flag enable_batching."),
        (["--mixed_precision=bfloat16"], "development and tests only, does not implement"),
    ],
)
def test_refused_flags(arguments, words):
    with pytest.raises(FlagError) as caught:
        parse(arguments)
    assert words in str(caught.value)


def test_defaults_are_those_of_server_h():
    flags = Flags()
    found = (
        flags.port, flags.rest_api_port, flags.rest_api_timeout_in_ms, flags.max_num_load_retries,
        flags.load_retry_interval_micros, flags.file_system_poll_wait_seconds,
        flags.model_config_file_poll_wait_seconds, flags.num_load_threads, flags.model_name,
        flags.saved_model_tags, flags.enable_model_warmup, flags.enable_profiler,
        flags.enable_signature_method_name_check,
    )  # fmt: skip
    assert found == (8500, 0, 30000, 5, 60_000_000, 1, 0, 0, "default", "serve", True, True, False)
    assert flags.grpc_max_threads == flags.rest_api_num_threads > 0
    assert flags.grpc_max_threads % 4 == 0


def test_usage_names_every_flag_with_its_default():
    text = usage("server")
    assert text.startswith("usage: server\nFlags:\n")
    for line in ("--port=8500", '--model_name="default"', "--enable_model_warmup=true",
                 "--per_process_gpu_memory_fraction=0.000000"):  # fmt: skip
        assert line in text


RESERVED = "%21%23%24%25%26%27%28%29%2A%2B%2C%2F%3A%3B%3D%3F%40%5B%5D"
PLAIN = "!#$%&'()*+,/:;=?@[]"


@pytest.mark.parametrize(
    ("method", "path", "target"),
    [
        # TestParseModelInfoForGet
        ("GET", f"/v1/models/modelname{RESERVED}", Target(f"modelname{PLAIN}")),
        ("GET", "/v1/models/modelname/versions/99", Target("modelname", "99")),
        ("GET", "/v1/models/modelname/labels/latest", Target("modelname", None, "latest")),
        ("GET", f"/v1/models/modelname/labels/latest{RESERVED}",
         Target("modelname", None, f"latest{PLAIN}")),
        ("GET", "/v1/models/modelname/labels/latest/metadata",
         Target("modelname", None, "latest", metadata=True)),
        ("GET", "/v1/models", Target()),
        ("GET", "/V1/MODELS/m/METADATA", Target("m", metadata=True)),
        # TestParseModelInfoForPost
        ("POST", f"/v1/models/modelname{RESERVED}:predict",
         Target(f"modelname{PLAIN}", verb="predict")),
        ("POST", "/v1/models/modelname/versions/99:predict",
         Target("modelname", "99", verb="predict")),
        ("POST", "/v1/models/modelname/labels/latest:predict",
         Target("modelname", None, "latest", "predict")),
        ("POST", "/v1/models/m:classify", Target("m", verb="classify")),
        ("POST", "/v1/models/m:regress", Target("m", verb="regress")),
    ],
)  # fmt: skip
def test_paths(method, path, target):
    assert parse_target(method, path) == target


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/foo"), ("GET", "/v1/models/foo:predict"),
        ("GET", "/v1/models/foo/version/50:predict"), ("GET", "/v1/models/debug/model_name"),
        ("POST", "/v1/foo"), ("POST", "/v1/models"), ("POST", "/v1/models/foo/version/50:predict"),
        ("POST", "/v1/models/foo/versions/string:predict"), ("POST", "/v1/models/foo/metadata"),
        ("POST", "/v1/models/foo/versions/50/labels/some_label:regress"),
        ("POST", "/v1/models/foo/label/some_label:regress"), ("DELETE", "/v1/models/foo"),
        ("POST", "/v1/models/foo:predict?x=1"), ("POST", "/v1/models/foo:explain"),
    ],
)  # fmt: skip
def test_malformed_paths(method, path):
    with pytest.raises(StatusError) as caught:
        parse_target(method, path)
    assert caught.value.message == f"Malformed request: {method} {path}"


def test_what_the_api_answers():
    """kPathRegex."""
    assert API.fullmatch("/v1/models")
    assert not API.fullmatch("/statuspage")
    assert not API.fullmatch("/index")


def models(text):
    return text_format.Parse(text, protos.model_server_config_pb2.ModelServerConfig())


GOOD = 'name: "m" base_path: "/m" model_platform: "tensorflow"'


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        ([GOOD, GOOD], "Illegal to list model m multiple times in config list"),
        (['name: "m" base_path: "m" model_platform: "tensorflow"'],
         "Expected model m to have an absolute path or URI; got base_path()=m"),
        (['name: "m" base_path: "/m"'],
         "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
         "ModelServerConfig::model_platform, model name is m"),
        ([GOOD + " model_type: TENSORFLOW"], "Illegal setting both"),
        (['name: "m" base_path: "/m" model_platform: "other"'],
         "Model m requests unsupported platform other"),
    ],
)  # fmt: skip
def test_refused_configurations(entries, words):
    text = "".join(f"config {{ {entry} }}" for entry in entries)
    with pytest.raises(StatusError) as caught:
        config.validate(models(f"model_config_list {{ {text} }}"))
    assert words in caught.value.message


def test_good_configurations():
    config.validate(models(f"model_config_list {{ config {{ {GOOD} }} }}"))
    config.validate(models('model_config_list { config { name: "m" base_path: "gs://b/m" '
                           "model_type: TENSORFLOW } }"))  # fmt: skip
    config.validate(config.single_model("m", "/m"))


def test_what_is_not_implemented_is_refused_in_the_configuration():
    with pytest.raises(StatusError, match="logging_config is not implemented"):
        config.refuse_unsupported(
            models(f"model_config_list {{ config {{ {GOOD} logging_config {{}} }} }}")
        )


@pytest.mark.parametrize(
    ("flags", "threads"),
    [
        ({}, (0, 0)),
        ({"tensorflow_session_parallelism": 3}, (3, 3)),
        ({"tensorflow_intra_op_parallelism": 2, "tensorflow_session_parallelism": 3}, (2, 0)),
        ({"tensorflow_inter_op_parallelism": 2}, (0, 2)),
    ],
)
def test_session_options(flags, threads):
    options = session_options(Flags(per_process_gpu_memory_fraction=0.5, **flags))
    assert (options.intra_op_parallelism_threads, options.inter_op_parallelism_threads) == threads
    assert options.gpu_options.per_process_gpu_memory_fraction == 0.5


def test_all_three_parallelisms_are_refused():
    with pytest.raises(StatusError, match="You cannot configure all"):
        session_options(Flags(
            tensorflow_session_parallelism=1, tensorflow_intra_op_parallelism=1,
            tensorflow_inter_op_parallelism=1,
        ))  # fmt: skip


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (Code.OK, 200), (Code.CANCELLED, 499), (Code.UNKNOWN, 500), (Code.INVALID_ARGUMENT, 400),
        (Code.DEADLINE_EXCEEDED, 504), (Code.NOT_FOUND, 404), (Code.ALREADY_EXISTS, 409),
        (Code.PERMISSION_DENIED, 403), (Code.RESOURCE_EXHAUSTED, 429),
        (Code.FAILED_PRECONDITION, 400), (Code.ABORTED, 409), (Code.OUT_OF_RANGE, 400),
        (Code.UNIMPLEMENTED, 501), (Code.INTERNAL, 500), (Code.UNAVAILABLE, 503),
        (Code.DATA_LOSS, 500), (Code.UNAUTHENTICATED, 401),
    ],
)  # fmt: skip
def test_http_statuses(code, status):
    assert http_status(code) == status


def test_counter_page():
    """PrometheusExporterTest.Counter, SanitizeLabelValue, SanitizeLabelName."""
    counter = Counter("/test/path/total", "my-name+1")
    counter.add(2, "abc")
    counter.add(2, '"abc\\"')
    assert counter.lines() == [
        "# TYPE :test:path:total counter",
        ':test:path:total{my_name_1="\\"abc\\\\\\""} 2',
        ':test:path:total{my_name_1="abc"} 2',
    ]


def test_histogram_page():
    """PrometheusExporterTest.Histogram: a value on a bound counts in the next bucket."""
    histogram = Sampler("/test/path/histogram", "status", bounds=exponential(1, 2, 10))
    for value in (2, 20, 200):
        histogram.add(value, "good")
    counts = [("1", 0), ("2", 0), ("4", 1), ("8", 1), ("16", 1), ("32", 2), ("64", 2), ("128", 2),
              ("256", 3), ("512", 3), ("+Inf", 3)]  # fmt: skip
    assert histogram.lines() == [
        "# TYPE :test:path:histogram histogram",
        *(f':test:path:histogram_bucket{{status="good",le="{le}"}} {n}' for le, n in counts),
        ':test:path:histogram_sum{status="good"} 222',
        ':test:path:histogram_count{status="good"} 3',
    ]


def test_latency_buckets():
    """util.cc: scale 10, power 1.8, 33 buckets (about 20 minutes)."""
    assert len(LATENCY) == 33
    assert LATENCY[:3] == [10, 18.0, 32.4]
    assert 1_474_000_000 < LATENCY[-1] < 1_475_000_000


def test_names_of_the_metrics():
    page = Metrics().page()
    for name in (
        ":tensorflow:serving:request_count counter",
        ":tensorflow:serving:request_latency histogram",
        ":tensorflow:serving:runtime_latency histogram",
        ":tensorflow:serving:request_example_counts histogram",
        ":tensorflow:serving:request_example_count_total counter",
        ":tensorflow:serving:model_warmup_latency histogram",
        ":tensorflow:serving:model_warmup_records_read counter",
        ":tensorflow:cc:saved_model:load_attempt_count counter",
        ":tensorflow:cc:saved_model:load_latency counter",
    ):
        assert f"# TYPE {name}\n" in page
