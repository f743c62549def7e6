//! model-tests
