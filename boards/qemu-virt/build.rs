//! Links the image with the board's addresses and the shared section layout.

fn main() {
    // Room for the symbol table; without optimisation there are more functions.
    let symbols = match std::env::var("PROFILE").as_deref() {
        Ok("release") => "64K",
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
