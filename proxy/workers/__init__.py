from proxy.workers.announcement import announce
from proxy.workers.share import workers_of
from proxy.workers.supervisor import supervise

__all__ = ["announce", "supervise", "workers_of"]
