"""Every number Glint exposes, in one place. Labels are few and bounded: no image ids, no projects."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, which no query of ours needs

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_LAG_S = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_STORE_S = (*_LATENCY_S, 60, 300, 900, 3600)
_DURATION_S = (0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)


class Instruments:
    """What the process that answers requests counts. Created once by the composition root and handed to who counts.

    Where several workers count, `multiprocess_mode` says how a gauge's values become one: what each has in flight is
    added up, of what they share the last word counts (such a gauge is only ever set), of health the worst.
    """

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        self._add_requests(registry)
        self._add_downloads(registry)
        self._add_fills(registry)
        self._add_cache(registry)
        self._add_disk(registry)
        self._add_identity(registry)
        self._add_stores(registry)
        self._add_glance(registry)
        self.loop_lag_seconds = _loop_lag(registry)

    def _add_requests(self, registry: CollectorRegistry) -> None:
        self.http_requests = Counter(
            "glint_http_requests",
            "HTTP requests answered, by route and status.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.http_request_seconds = Histogram(
            "glint_http_request_seconds",
            "Time from a request's head to the end of its answer.",
            ["route"],
            buckets=_LATENCY_S,
            registry=registry,
        )

    def _add_downloads(self, registry: CollectorRegistry) -> None:
        self.downloads = Counter(
            "glint_downloads",
            "Downloads by outcome: hit, join, miss, bypass, or local (served in place from a file store).",
            ["outcome"],
            registry=registry,
        )
        self.download_bytes = Counter(
            "glint_download_bytes",
            "Bytes sent to clients by where they came from: cache, fill, store or local.",
            ["source"],
            registry=registry,
        )
        self.downloads_aborted = Counter(
            "glint_downloads_aborted",
            "Downloads cut before their last byte, by reason: client (gone), source (failed), short_file (less was "
            "there than promised) or cancelled (Glint stopped).",
            ["reason"],
            registry=registry,
        )
        self.first_byte_seconds = Histogram(
            "glint_first_byte_seconds",
            "Time from a download's request to its first body byte handed to the socket.",
            ["outcome"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.range_reads = Counter(
            "glint_range_reads",
            "Ranges of images that were being filled, by decision: read (from the fill), wait (for it) or direct (from "
            "the store, past the cache).",
            ["decision"],
            registry=registry,
        )

    def _add_fills(self, registry: CollectorRegistry) -> None:
        self.fills_in_flight = Gauge(
            "glint_fills_in_flight",
            "Copies from a store to the cache that are running.",
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.fills = Counter(
            "glint_fills",
            "Ended fills by result: finished, rejected (no room), cancelled (nobody waited any more), abandoned (Glint "
            "stopped), gone_round (another worker took it over), or the error.",
            ["result"],
            registry=registry,
        )
        self.fill_bytes = Counter("glint_fill_bytes", "Bytes read from stores to fill the cache.", registry=registry)
        self.fill_seconds = Histogram(
            "glint_fill_seconds", "Duration of finished fills.", buckets=_DURATION_S, registry=registry
        )
        self.fill_resumes = Counter(
            "glint_fill_resumes",
            "Times that a fill asked a store for the rest after an error, by reason.",
            ["reason"],
            registry=registry,
        )
        self.fill_takeovers = Counter(
            "glint_fill_takeovers",
            "Fills that another worker went on with, by reason: the first one died, or stalled.",
            ["reason"],
            registry=registry,
        )
        self.digest_mismatches = Counter(
            "glint_digest_mismatches", "Times that a store gave bytes of another digest.", registry=registry
        )

    def _add_cache(self, registry: CollectorRegistry) -> None:
        self.cache_bytes = Gauge(
            "glint_cache_bytes",
            "Bytes of the cache by state: committed (entries), reserved (for fills), leaving (removed and still "
            "read) or quarantined.",
            ["state"],
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.cache_entries = Gauge(
            "glint_cache_entries", "Whole images in the cache.", multiprocess_mode="mostrecent", registry=registry
        )
        self.cache_limit_bytes = Gauge(
            "glint_cache_limit_bytes", "The cache's hard limit.", multiprocess_mode="mostrecent", registry=registry
        )
        self.evictions = Counter(
            "glint_evictions",
            "Entries removed, by reason: space (the policy chose them) or operator.",
            ["reason"],
            registry=registry,
        )
        self.evicted_bytes = Counter("glint_evicted_bytes", "Bytes removed, by reason.", ["reason"], registry=registry)
        self.eviction_age_seconds = Gauge(
            "glint_eviction_age_seconds",
            "How long the last entry that had to make room had not been used.",
            multiprocess_mode="mostrecent",
            registry=registry,
        )

    def _add_disk(self, registry: CollectorRegistry) -> None:
        self.disk_state = Gauge(
            "glint_disk_state",
            "The cache's disk as its worst worker sees it: 0 healthy, 1 unstable, 2 down.",
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.disk_errors = Counter(
            "glint_disk_errors", "Failed operations on the cache's disk.", ["operation"], registry=registry
        )
        self.scrub_bytes = Counter(
            "glint_scrub_bytes", "Bytes of entries read back and compared with their sums.", registry=registry
        )
        self.scrub_errors = Counter("glint_scrub_errors", "Entries found damaged on disk.", registry=registry)

    def _add_identity(self, registry: CollectorRegistry) -> None:
        self.token_lookups = Counter(
            "glint_token_lookups",
            "Tokens looked up, by who answered: memory, memcached, keystone, joined, rejected, or failed.",
            ["outcome"],
            registry=registry,
        )
        self.memcached_errors = Counter(
            "glint_memcached_errors", "Failed calls to memcached, by operation.", ["operation"], registry=registry
        )
        self.keystone_seconds = Histogram(
            "glint_keystone_seconds",
            "Time of Keystone's answers by operation: validate or authenticate.",
            ["operation"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.keystone_errors = Counter(
            "glint_keystone_errors", "Failed Keystone calls, by error.", ["error"], registry=registry
        )

    def _add_glance(self, registry: CollectorRegistry) -> None:
        self.glance_seconds = Histogram(
            "glint_glance_seconds",
            "Time to the head of an answer of the Glance behind us: forward, authorize, describe or read.",
            ["operation"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.glance_errors = Counter(
            "glint_glance_errors",
            "Requests that the Glance behind us did not answer, by error.",
            ["operation", "error"],
            registry=registry,
        )

    def _add_stores(self, registry: CollectorRegistry) -> None:
        self.store_requests = Counter(
            "glint_store_requests",
            "Requests to a store by operation (read, size, write or delete) and result: ok, cancelled, or the error.",
            ["store", "operation", "result"],
            registry=registry,
        )
        self.store_seconds = Histogram(
            "glint_store_seconds",
            "Time of a store's requests by phase: wait (for a slot), first_byte (of a read, after that) or whole.",
            ["store", "operation", "phase"],
            buckets=_STORE_S,
            registry=registry,
        )
        self.store_timeouts = Counter(
            "glint_store_timeouts",
            "Requests to a store that it was silent to for too long, by phase: wait, connect, open, first_byte, idle, "
            "size, delete or write.",
            ["store", "operation", "phase"],
            registry=registry,
        )
        self.store_bytes = Counter(
            "glint_store_bytes", "Bytes read from and written to a store.", ["store", "operation"], registry=registry
        )
        self.deletions = Counter(
            "glint_deletions",
            "Locations whose data waited for their deletion, by what came of it: deleted, gone, kept, busy, failed, "
            "elsewhere (a store of other hosts), or taken (by another process).",
            ["outcome"],
            registry=registry,
        )
        self._add_store_queues(registry)
        self._add_parallel_reads(registry)

    def _add_store_queues(self, registry: CollectorRegistry) -> None:
        self.store_in_flight = Gauge(
            "glint_store_in_flight",
            "Requests that a store works on, by purpose: demand (a client waits), prewarm or refetch.",
            ["store", "purpose"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.store_waiting = Gauge(
            "glint_store_waiting",
            "Requests that wait for a slot of a store, by purpose.",
            ["store", "purpose"],
            multiprocess_mode="livesum",
            registry=registry,
        )
        self.store_limited_seconds = Counter(
            "glint_store_limited_seconds",
            "Time that reads and writes of a store waited for its bandwidth limits.",
            ["store", "operation"],
            registry=registry,
        )
        self.store_circuit = Gauge(
            "glint_store_circuit",
            "A store's circuit as its worst worker sees it: 0 closed, 1 half open (one request tries), 2 open.",
            ["store"],
            multiprocess_mode="livemax",
            registry=registry,
        )
        self.store_refusals = Counter(
            "glint_store_refusals",
            "Requests that were not made because the store's circuit was open.",
            ["store"],
            registry=registry,
        )

    def _add_parallel_reads(self, registry: CollectorRegistry) -> None:
        self.store_parts = Counter(
            "glint_store_parts", "Parts of images that parallel reads asked of a store.", ["store"], registry=registry
        )
        self.store_part_retries = Counter(
            "glint_store_part_retries",
            "Times that a parallel read asked for the rest of a part that broke.",
            ["store"],
            registry=registry,
        )
        self.store_parallel_depth = Gauge(
            "glint_store_parallel_depth",
            "Parts of one image asked for at once, as its reader last found to be worth it.",
            ["store"],
            multiprocess_mode="mostrecent",
            registry=registry,
        )
        self.store_read_ahead_bytes = Gauge(
            "glint_store_read_ahead_bytes",
            "Memory kept for parts of images that arrive before it is their turn.",
            ["store"],
            multiprocess_mode="livesum",
            registry=registry,
        )

    def count_request(self, method: str, route: str, status: int, took_s: float) -> None:
        """One request that was answered. Finding the series by their labels costs more than counting."""
        labels = method, route, status
        found = self._answered.get(labels)
        if found is None:
            found = self.http_requests.labels(method, route, str(status)), self.http_request_seconds.labels(route)
            self._answered[labels] = found
        found[0].inc()
        found[1].observe(took_s)


class RegistryInstruments:
    """What a process of the registry service counts."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "glint_registry_requests",
            "Requests to the registry service that bore a good signature, by operation and result: ok, or the error.",
            ["operation", "result"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "glint_registry_request_seconds",
            "Time of the registry service's answers by operation.",
            ["operation"],
            buckets=_LATENCY_S,
            registry=registry,
        )
        self.refusals = Counter(
            "glint_registry_refusals",
            "Requests that the registry service did not carry out, by reason: unsigned, malformed, signature, body, "
            "clock, replayed, or audience (meant for another process, and sent again to this one).",
            ["reason"],
            registry=registry,
        )
        self.loop_lag_seconds = _loop_lag(registry)


def _loop_lag(registry: CollectorRegistry) -> Histogram:
    return Histogram(
        "glint_loop_lag_seconds",
        "How late the event loop woke from a short sleep.",
        buckets=_LAG_S,
        registry=registry,
    )


class Supervision:
    """What is known of workers from outside them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.workers = Gauge("glint_workers", "Processes that answer requests.", registry=registry)
        self.worker_restarts = Counter(
            "glint_worker_restarts", "Workers started in place of one that had ended.", registry=registry
        )
