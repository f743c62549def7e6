//! The page at `/`.

/// What this is, and where everything else is.
pub(super) const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>Roundtable</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:42em;margin:2em auto;padding:0 1em}</style>
</head>
<body>
<h1>Roundtable</h1>
<p>A small executive written in Rust, running on the bare machine on several cores: a preemptive
scheduler, worker pools that manage their own concurrency, and this service. The reply you read was
parsed and written by a work item, queued by another one that took your packet from the network
device in bottom-half context.</p>
<ul>
<li><a href="/hello">/hello</a> &mdash; twelve bytes</li>
<li><a href="/api/v1/system">/api/v1/system</a>,
<a href="/api/v1/threads">threads</a>,
<a href="/api/v1/pools">pools</a>,
<a href="/api/v1/queues">queues</a>,
<a href="/api/v1/latency">latency</a>,
<a href="/api/v1/net">net</a>,
<a href="/api/v1/memory">memory</a> &mdash; what the machine is doing, as JSON</li>
<li><a href="/demo/sleep?ms=200">/demo/sleep?ms=200</a> &mdash; a handler that sleeps in its work
item; the others do not notice</li>
<li><a href="/demo/burn?ms=50">/demo/burn?ms=50</a> &mdash; a handler that keeps its core busy</li>
</ul>
<p>Port 7 echoes, over TCP and UDP.</p>
</body>
</html>
"#;
