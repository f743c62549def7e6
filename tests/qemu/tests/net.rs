//! Black-box tests of the service from outside the guest.

fn main() {}
