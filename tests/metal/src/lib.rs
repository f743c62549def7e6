//! metal-tests
