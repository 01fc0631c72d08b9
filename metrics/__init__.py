from metrics.config import MetricsConfig
from metrics.exposition import build_metrics_app
from metrics.instruments import Instruments
from metrics.loop_lag import watch_loop_lag

__all__ = ["Instruments", "MetricsConfig", "build_metrics_app", "watch_loop_lag"]
