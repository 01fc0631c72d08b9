from metrics.config import MetricsConfig
from metrics.exposition import VERSION, build_metrics_app
from metrics.instruments import Instruments, RegistryInstruments, Supervision
from metrics.loop_lag import watch_loop_lag
from metrics.shared import count_into, forget_what_was_in_flight, numbers_folder, sum_of_workers

__all__ = [
    "VERSION",
    "Instruments",
    "MetricsConfig",
    "RegistryInstruments",
    "Supervision",
    "build_metrics_app",
    "count_into",
    "forget_what_was_in_flight",
    "numbers_folder",
    "sum_of_workers",
    "watch_loop_lag",
]
