"""The service: uploads, a queue of scans, worker processes, an API and a page. Only its command imports it."""
