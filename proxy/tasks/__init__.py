from proxy.tasks.runner import STALE_AFTER_S, Job, Progress, TaskFailed, TaskRunner, new_task

__all__ = ["STALE_AFTER_S", "Job", "Progress", "TaskFailed", "TaskRunner", "new_task"]
