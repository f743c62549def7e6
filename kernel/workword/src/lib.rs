//! workword
