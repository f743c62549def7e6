//! `screenshots`: pictures of the live page, light and dark, and of a trace, for the documentation.
//!
//! One story, the same each time: sleepers fill the tables of the cores while a blocker holds up an
//! ordered queue. The pictures are of that moment, so no two runs give the same bytes.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use crate::browser::Browser;
use crate::guest::{Guest, Terminal};
use crate::image::{self, Kind};
use crate::options::Options as Machine;
use crate::perfetto_ui::{self, Site};
use crate::{Failure, Outcome, packages, tell, toolchain, tree};

/// Options of `screenshots`.
#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the pictures go, instead of `docs`
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// Largest picture that belongs into the repository.
const MOST_BYTES: usize = 150_000;
/// How long the guest may take to boot, and the page to show something.
const PATIENCE: Duration = Duration::from_secs(60);
const WINDOW: (u32, u32) = (1440, 1120);
const TRACE_WINDOW: (u32, u32) = (1280, 1100);
/// What the tour of `docs/observe.md` orders.
const STORY: &str = "/api/v1/demo/blocker?n=12&ms=3000";

/// Takes the pictures.
///
/// # Errors
///
/// Without Chromium or QEMU, or if the page does not show what the pictures are of.
pub fn run(options: &Options) -> Outcome<u8> {
    let program = packages::chromium()?;
    let machine = Machine {
        http_port: 0,
        echo_port: 0,
        yes: true,
        ..Machine::default()
    };
    let image = image::build(Kind::Release, &toolchain::metal(false, true)?)?;
    let mut guest = Guest::start(&machine, &image.flat, Terminal::Captured)?;
    if !guest.wait_ready(Instant::now() + PATIENCE) {
        return Err(Failure::failed("the guest did not answer"));
    }
    let out = options
        .out
        .clone()
        .unwrap_or_else(|| tree::root().join("docs"));
    let url = format!("http://{}", guest.http());
    for scheme in ["light", "dark"] {
        let picture = take(&program, &format!("{url}/"), scheme);
        keep(&out.join(format!("live-{scheme}.png")), picture)?;
    }
    let picture = blocked(&program, &format!("{url}/"));
    keep(&out.join("live-blocker.png"), picture)?;
    match perfetto_ui::files() {
        Ok(files) => keep(&out.join("trace.png"), traced(&program, &url, files))?,
        Err(missing) => tell::say(&format!("no picture of a trace: {missing}")),
    }
    Ok(0)
}

/// Writes a picture.
fn keep(path: &Path, picture: Result<Vec<u8>, String>) -> Outcome<()> {
    let failed = |why: String| Failure::failed(format!("{}: {why}", path.display()));
    let picture = picture.and_then(|png| compact(&png)).map_err(failed)?;
    let n = picture.len();
    if n > MOST_BYTES {
        return Err(failed(format!("{n} bytes, more than {MOST_BYTES}")));
    }
    std::fs::write(path, &picture).map_err(|e| failed(e.to_string()))?;
    tell::say(&format!("{}: {n} bytes", path.display()));
    Ok(())
}

/// A blocker at the head of an ordered queue, recorded and opened in Perfetto.
fn traced(program: &Path, url: &str, files: PathBuf) -> Result<Vec<u8>, String> {
    let ask = |request: minreq::Request| {
        let request = request.with_timeout(PATIENCE.as_secs());
        request.send().map_err(|e| format!("the guest: {e}"))
    };
    let recorder = {
        let url = format!("{url}/trace?ms=4000");
        std::thread::spawn(move || ask(minreq::get(url)))
    };
    std::thread::sleep(Duration::from_millis(300));
    ask(minreq::post(format!("{url}{STORY}")))?;
    let trace = recorder.join().map_err(|_| "no recorder")??;
    let site = Site::serve(files, trace.into_bytes())?;
    let mut browser = Browser::start(program, TRACE_WINDOW)?;
    site.open(&mut browser)?;
    let worker = "select thread.name from slice join thread_track on track_id = thread_track.id \
                  join thread using (utid) where slice.name glob '*demos::blocker'";
    let worker = perfetto_ui::query(&mut browser, worker)?;
    let worker = &worker.first().ok_or("nobody executed the blocker")?[0];
    let tracks = format!("^({worker} .*|pool 256 .* idle workers|workqueue demo_ordered)$");
    perfetto_ui::show_only(&mut browser, &tracks)?;
    // Tracks are drawn when what they show has come.
    std::thread::sleep(Duration::from_secs(5));
    browser.picture()
}

/// The page while nothing but the tour's story goes on.
fn blocked(program: &Path, url: &str) -> Result<Vec<u8>, String> {
    let mut browser = Browser::start(program, WINDOW)?;
    browser.prefer(&[("prefers-color-scheme", "light")])?;
    browser.open(url)?;
    let seen = "Number(document.body.dataset.sequence) > 3";
    browser.wait_for("the page is live", seen, PATIENCE)?;
    browser.evaluate(&format!("fetch('{STORY}',{{method:'POST'}}).then(r=>r.ok)"))?;
    let held = "document.querySelectorAll('[data-held=demo_ordered] i').length === 12";
    browser.wait_for("the line is held back", held, PATIENCE)?;
    let picture = browser.picture()?;
    let gone = "document.body.dataset.demo === '0'";
    browser.wait_for("the story ends", gone, PATIENCE)?;
    Ok(picture)
}

fn take(program: &Path, url: &str, scheme: &str) -> Result<Vec<u8>, String> {
    let mut browser = Browser::start(program, WINDOW)?;
    browser.prefer(&[("prefers-color-scheme", scheme)])?;
    browser.open(url)?;
    let seen = "Number(document.body.dataset.sequence) > 3";
    browser.wait_for("the page is live", seen, PATIENCE)?;
    let post =
        |query: &str| format!("fetch('/api/v1/demo/{query}',{{method:'POST'}}).then(r=>r.ok)");
    for order in [
        "blocker?n=9&ms=8000",
        "sleepers?n=14&ms=4200",
        "sleepers?n=3&ms=5000&queue=highpri",
        "hog?n=3&ms=4000",
        "burst?n=120&ms=20",
    ] {
        if browser.evaluate(&post(order))? != true {
            return Err(format!("{order} was refused"));
        }
    }
    let busy = "document.querySelectorAll('#cores [data-state=blocked]').length >= 14";
    browser.wait_for("sleepers sit at the tables", busy, PATIENCE)?;
    std::thread::sleep(Duration::from_millis(900));
    let picture = browser.picture()?;
    let gone = "document.body.dataset.demo === '0'";
    browser.wait_for("the demonstrations end", gone, PATIENCE)?;
    Ok(picture)
}

/// The same picture with a palette of 256 colours.
fn compact(png: &[u8]) -> Result<Vec<u8>, String> {
    let said = |e: &dyn std::fmt::Display| format!("the picture: {e}");
    let mut decoder = png::Decoder::new(std::io::Cursor::new(png));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().map_err(|e| said(&e))?;
    let size = reader.output_buffer_size().ok_or("a picture without end")?;
    let mut pixels = vec![0; size];
    let frame = reader.next_frame(&mut pixels).map_err(|e| said(&e))?;
    pixels.truncate(frame.buffer_size());
    let channels = frame.color_type.samples();
    if channels < 3 {
        return Err(format!("the picture is {:?}", frame.color_type));
    }
    let opaque = |p: &[u8]| [p[0], p[1], p[2], 255];
    let rgba: Vec<u8> = pixels.chunks_exact(channels).flat_map(opaque).collect();
    let palette = color_quant::NeuQuant::new(10, 256, &rgba);
    let indices: Vec<u8> = rgba
        .chunks_exact(4)
        .map(|pixel| palette.index_of(pixel) as u8)
        .collect();
    let mut out = Vec::new();
    let mut encoder = png::Encoder::new(&mut out, frame.width, frame.height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_compression(png::Compression::High);
    encoder.set_palette(palette.color_map_rgb());
    let mut writer = encoder.write_header().map_err(|e| said(&e))?;
    writer.write_image_data(&indices).map_err(|e| said(&e))?;
    writer.finish().map_err(|e| said(&e))?;
    Ok(out)
}
