//! Links the test image like the service image: same addresses, same section layout.

fn main() {
    // Room for the symbol table.
    let symbols = "256K";
    let linker = format!("{}/../../linker", env!("CARGO_MANIFEST_DIR"));
    println!("cargo::rustc-link-arg-bins=-L{linker}");
    println!("cargo::rustc-link-arg-bins=-T{linker}/qemu-virt.ld");
    println!("cargo::rustc-link-arg-bins=-zmax-page-size=4096");
    println!("cargo::rustc-link-arg-bins=--defsym=SYMBOLS_SIZE={symbols}");
    println!("cargo::rerun-if-changed={linker}/qemu-virt.ld");
    println!("cargo::rerun-if-changed={linker}/sections.ld");
}
