//! One solution for each exercise. There are others.
//!
//! `right!(a, not b)` stands for `a`. `b` is a usual mistake: if the environment variable
//! `LARIAT_MISTAKES` is set, it stands for `b`, and the tests of the exercise must fail.

use std::sync::LazyLock;

macro_rules! right {
    ($right:expr, not $wrong:expr) => {
        if *crate::solutions::HAS_MISTAKES { $wrong } else { $right }
    };
}

static HAS_MISTAKES: LazyLock<bool> = LazyLock::new(|| std::env::var_os("LARIAT_MISTAKES").is_some());

pub mod ch01;
pub mod ch02;
pub mod ch03;
pub mod ch04;
pub mod ch05;
pub mod ch06;
pub mod ch07;
pub mod ch08;
pub mod ch09;
pub mod ch10;
pub mod ch11;
pub mod ch12;
pub mod ch13;
pub mod ch14;
#[cfg(unix)]
pub mod ch15;
