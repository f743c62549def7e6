//! A headless Chromium, driven through its DevTools protocol.
//!
//! The protocol is JSON over a WebSocket; what the tests and pictures of the live page need of it is a
//! dozen calls, and the browser is the system's own package: nothing here downloads one. The browser
//! gets a profile of its own that goes with it, and reaches this host only.

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

/// How long the browser may take to start, or to answer.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take to end.
const GRACE: Duration = Duration::from_secs(5);
/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// What begins the line that says where it listens.
const LISTENS: &str = "DevTools listening on ";

/// A browser with one page.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    profile: PathBuf,
    socket: WebSocket<TcpStream>,
    session: String,
    calls: u64,
    complaints: Vec<String>,
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Asked to, it ends its helpers first and waits for them.
        self.session.clear();
        let _ = self.call("Browser.close", &json!({}));
        let end = Instant::now() + GRACE;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(LOOK);
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.profile);
    }
}

impl Browser {
    /// Starts `program` with an empty page of `width` times `height`.
    ///
    /// # Errors
    ///
    /// One sentence about what did not work.
    pub fn start(program: &Path, (width, height): (u32, u32)) -> Result<Self, String> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let n = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("roundtable-browser-{}-{n}", std::process::id());
        let profile = std::env::temp_dir().join(name);
        let mut command = Command::new(program);
        command
            .args([
                "--headless",
                "--disable-gpu",
                "--hide-scrollbars",
                "--no-first-run",
            ])
            .args([
                "--disable-background-networking",
                "--disable-component-update",
            ])
            .args([
                "--disable-dev-shm-usage",
                "--disable-extensions",
                "--mute-audio",
            ])
            .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"])
            .args(["--remote-debugging-port=0", "--force-color-profile=srgb"])
            .arg(format!("--window-size={width},{height}"))
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if crate::packages::is_root() {
            // Its sandbox refuses root.
            command.arg("--no-sandbox");
        }
        let mut child = command
            .arg("about:blank")
            .spawn()
            .map_err(|e| format!("{} does not start: {e}", program.display()))?;
        let connected = connect(&mut child);
        let socket = match connected {
            Ok(socket) => socket,
            Err(why) => {
                let _ = child.kill();
                let _ = child.wait();
                let _ = std::fs::remove_dir_all(&profile);
                return Err(why);
            }
        };
        let mut browser = Self {
            child,
            profile,
            socket,
            session: String::new(),
            calls: 0,
            complaints: Vec::new(),
        };
        browser.attach()?;
        browser.size((width, height))?;
        Ok(browser)
    }

    fn attach(&mut self) -> Result<(), String> {
        let target = self.call("Target.createTarget", &json!({"url": "about:blank"}))?;
        let asked = json!({"targetId": target["targetId"], "flatten": true});
        let attached = self.call("Target.attachToTarget", &asked)?;
        attached["sessionId"]
            .as_str()
            .ok_or("no session with the page")?
            .clone_into(&mut self.session);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(())
    }

    /// Calls a method of the protocol.
    ///
    /// # Errors
    ///
    /// What the browser said, or that it said nothing.
    pub fn call(&mut self, method: &str, params: &Value) -> Result<Value, String> {
        self.calls += 1;
        let id = self.calls;
        let mut request = json!({"id": id, "method": method, "params": params});
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.socket
            .send(Message::text(request.to_string()))
            .map_err(|e| format!("{method}: {e}"))?;
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            let message = self.socket.read().map_err(|e| format!("{method}: {e}"))?;
            let Message::Text(text) = message else {
                continue;
            };
            let answer: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
            if answer["id"] == id {
                return match answer.get("error") {
                    Some(error) => Err(format!("{method}: {error}")),
                    None => Ok(answer["result"].clone()),
                };
            }
            self.notice(&answer);
        }
        Err(format!("{method}: no answer in {PATIENCE:?}"))
    }

    /// Remembers what a page complains about.
    fn notice(&mut self, event: &Value) {
        let params = &event["params"];
        let complaint = match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => Some(&params["exceptionDetails"]),
            Some("Runtime.consoleAPICalled")
                if ["error", "warning", "assert"]
                    .iter()
                    .any(|t| params["type"] == *t) =>
            {
                Some(&params["args"])
            }
            Some("Log.entryAdded") if params["entry"]["level"] == "error" => Some(&params["entry"]),
            _ => None,
        };
        self.complaints.extend(complaint.map(Value::to_string));
    }

    /// What the page's console and the browser's log have held against it so far.
    ///
    /// # Errors
    ///
    /// If the browser does not answer.
    pub fn complaints(&mut self) -> Result<&[String], String> {
        // Events come before the answer to a later call.
        self.evaluate("0")?;
        Ok(&self.complaints)
    }

    /// Sets the size of the page's window.
    ///
    /// # Errors
    ///
    /// What the browser said.
    pub fn size(&mut self, (width, height): (u32, u32)) -> Result<(), String> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size)
            .map(drop)
    }

    /// What the person prefers: `("prefers-color-scheme", "dark")`.
    ///
    /// # Errors
    ///
    /// What the browser said.
    pub fn prefer(&mut self, features: &[(&str, &str)]) -> Result<(), String> {
        let features: Vec<Value> = features
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}))
            .map(drop)
    }

    /// Whether pages may run script.
    ///
    /// # Errors
    ///
    /// What the browser said.
    pub fn script(&mut self, on: bool) -> Result<(), String> {
        self.call(
            "Emulation.setScriptExecutionDisabled",
            &json!({"value": !on}),
        )
        .map(drop)
    }

    /// Goes to `url`.
    ///
    /// # Errors
    ///
    /// What the browser said, or why the page could not be had.
    pub fn open(&mut self, url: &str) -> Result<(), String> {
        let opened = self.call("Page.navigate", &json!({"url": url}))?;
        match opened["errorText"].as_str() {
            Some(why) => Err(format!("{url}: {why}")),
            None => Ok(()),
        }
    }

    /// The value of an expression in the page.
    ///
    /// # Errors
    ///
    /// What the browser said, or what the expression threw.
    pub fn evaluate(&mut self, expression: &str) -> Result<Value, String> {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let result = self.call("Runtime.evaluate", &asked)?;
        match result.get("exceptionDetails") {
            Some(thrown) => Err(format!("{expression}: {thrown}")),
            None => Ok(result["result"]["value"].clone()),
        }
    }

    /// Waits until an expression is true.
    ///
    /// # Errors
    ///
    /// If that takes longer than `limit`, with what the page complained about.
    pub fn wait_for(
        &mut self,
        what: &str,
        expression: &str,
        limit: Duration,
    ) -> Result<(), String> {
        let end = Instant::now() + limit;
        loop {
            // While a page is on its way there is nobody to ask.
            let last = self.evaluate(expression);
            if matches!(&last, Ok(value) if *value == json!(true)) {
                return Ok(());
            }
            if Instant::now() >= end {
                return Err(format!(
                    "{what}: not in {limit:?}; {expression} is {last:?}; complaints: {:?}",
                    self.complaints
                ));
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Presses and releases a key, such as `Tab` or `Enter`.
    ///
    /// # Errors
    ///
    /// What the browser said.
    pub fn press(&mut self, key: &str, code: u32) -> Result<(), String> {
        let text = if key == "Enter" { "\r" } else { "" };
        for kind in ["keyDown", "keyUp"] {
            let event = json!({
                "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text,
            });
            self.call("Input.dispatchKeyEvent", &event)?;
        }
        Ok(())
    }

    /// A picture of the window, as PNG.
    ///
    /// # Errors
    ///
    /// What the browser said.
    pub fn picture(&mut self) -> Result<Vec<u8>, String> {
        let shot = self.call("Page.captureScreenshot", &json!({"format": "png"}))?;
        let text = shot["data"].as_str().ok_or("no picture")?;
        data_encoding::BASE64
            .decode(text.as_bytes())
            .map_err(|e| format!("the picture: {e}"))
    }
}

/// Reads where the browser listens, and connects there.
fn connect(child: &mut Child) -> Result<WebSocket<TcpStream>, String> {
    let pipe = child.stderr.take().ok_or("the browser says nothing")?;
    let (tell, told) = std::sync::mpsc::channel();
    // Reads to the end, so that the browser never waits for somebody to read what it says.
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            if let Some(url) = line.strip_prefix(LISTENS) {
                let _ = tell.send(url.trim().to_owned());
            }
        }
    });
    let url = told
        .recv_timeout(PATIENCE)
        .map_err(|_| "the browser did not say where it listens".to_owned())?;
    let address = url
        .strip_prefix("ws://")
        .and_then(|rest| rest.split('/').next())
        .ok_or_else(|| format!("the browser listens at {url:?}"))?;
    let stream = TcpStream::connect(address).map_err(|e| format!("{address}: {e}"))?;
    stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(|e| e.to_string())?;
    let (socket, _) = tungstenite::client(url.as_str(), stream).map_err(|e| e.to_string())?;
    Ok(socket)
}
