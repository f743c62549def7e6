//! services
#![no_std]
