"""The configuration files: reading them, and what is refused in a list of models.

Words and order of the refusals are those of model_servers/server_core.cc
(ValidateModelConfigList and its neighbours) and util/proto_util.h. Knows no model.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

from google.protobuf import text_format

from tensorflow_serving_compatible.errors import StatusError, invalid_argument, not_found
from tensorflow_serving_compatible.protos import model_server_config_pb2

log = logging.getLogger(__name__)

PLATFORM = "tensorflow"


def read_text_proto(path: str, message: Any) -> Any:
    """Fills `message` from a text file. Raises StatusError."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise not_found(f"{path}; {error.strerror}") from error
    try:
        return text_format.Parse(text, message)
    except text_format.ParseError as error:
        log.error(  # noqa: TRY400 - where it is wrong is all there is to say
            "Error parsing text-format %s: %s", message.DESCRIPTOR.full_name, error
        )
        raise invalid_argument(f"Invalid protobuf file: '{path}'") from error


def single_model(name: str, base_path: str) -> Any:
    """The configuration that --model_name and --model_base_path stand for."""
    config = model_server_config_pb2.ModelServerConfig()
    config.model_config_list.config.add(name=name, base_path=base_path, model_platform=PLATFORM)
    return config


def read_models(path: str) -> Any:
    return read_text_proto(path, model_server_config_pb2.ModelServerConfig())


def validate(config: Any) -> None:
    """Raises StatusError for a list of models that TensorFlow Serving refuses."""
    models = config.model_config_list.config
    names = set()
    for model in models:
        if model.name in names:
            raise invalid_argument(
                f"Illegal to list model {model.name} multiple times in config list"
            )
        names.add(model.name)
    for model in models:
        if _is_relative(model.base_path):
            raise invalid_argument(
                f"Expected model {model.name} to have an absolute path or URI; "
                f"got base_path()={model.base_path}"
            )
    for model in models:
        _check_platform(model)


def _is_relative(path: str) -> bool:
    return not path.startswith("/") and not re.match(r"[a-zA-Z][0-9a-zA-Z.]*://", path)


def _check_platform(model: Any) -> None:
    platform: str = model.model_platform
    if model.model_type:
        if platform:
            raise invalid_argument(
                "Illegal setting both ModelServerConfig::model_type (deprecated) and "
                f"ModelServerConfig::model_platform, model name is {model.name}"
            )
        if model.model_type != model_server_config_pb2.TENSORFLOW:
            raise invalid_argument(
                f"ModelServerConfig::model_type choice {model.model_type} not supported."
            )
        platform = PLATFORM
    if not platform:
        raise invalid_argument(
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            f"ModelServerConfig::model_platform, model name is {model.name}"
        )
    if platform != PLATFORM:
        raise invalid_argument(f"Model {model.name} requests unsupported platform {platform}")


def refuse_unsupported(config: Any) -> None:
    """What TensorFlow Serving would do and this server does not: refused, never ignored."""
    if config.WhichOneof("config") == "custom_model_config":
        raise invalid_argument("ModelServer does not yet support custom model config.")
    for model in config.model_config_list.config:
        if model.HasField("logging_config"):
            raise StatusError(
                invalid_argument("").code,
                f"model {model.name}: logging_config is not implemented by "
                "tensorflow-serving-compatible, which is for development and tests only",
            )
