"""Image data that are not uploaded: staged, fetched, copied or only pointed at, by tasks that outlive their request."""
