//! arch-aarch64
