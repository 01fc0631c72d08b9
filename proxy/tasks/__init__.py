from proxy.tasks.runner import GLINT, STALE_AFTER_S, Job, Progress, TaskFailed, TaskRunner, new_task

__all__ = ["GLINT", "STALE_AFTER_S", "Job", "Progress", "TaskFailed", "TaskRunner", "new_task"]
