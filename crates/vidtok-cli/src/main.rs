//! The `vidtok` command line.
fn main() {}
