//! qemu-virt
