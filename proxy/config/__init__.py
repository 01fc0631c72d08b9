from proxy.config.loading import build, load, origins
from proxy.config.problems import ConfigError
from proxy.config.sections import Config, LoggingConfig, ServerConfig

__all__ = ["Config", "ConfigError", "LoggingConfig", "ServerConfig", "build", "load", "origins"]
