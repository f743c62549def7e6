//! Links the image with the board's addresses and the shared section layout.

fn main() {
    // Room for the symbol table, twice what it needs, since one that does not fit is no image at all. The file ends with the
    // table, so what is left of the room costs memory only: 64 KiB more than half of it would. Without optimisation there
    // are more functions.
    let symbols = match std::env::var("PROFILE").as_deref() {
        Ok("release") => "128K",
        _ => "1M",
    };
    let linker = format!("{}/../../linker", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rustc-link-arg-bins=-L{linker}");
    println!("cargo::rustc-link-arg-bins=-T{linker}/qemu-virt.ld");
    println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo::rustc-link-arg-bins=--defsym=SYMBOLS_SIZE={symbols}");
    println!("cargo::rerun-if-changed={linker}/qemu-virt.ld");
    println!("cargo::rerun-if-changed={linker}/sections.ld");
}
