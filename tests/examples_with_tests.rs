//! The tests that examples have of their own, as a program of a reader would. With `test = true`,
//! `cargo test` would build these examples as tests only, and `tests/examples` runs the programs.
#![allow(dead_code, reason = "`main` is not called")]

#[path = "../examples/device.rs"]
mod device;
#[path = "../examples/game.rs"]
mod game;
