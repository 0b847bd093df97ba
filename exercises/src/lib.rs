#![doc = include_str!("../README.md")]
#![allow(unused_variables, clippy::ptr_arg, reason = "a task that is not solved yet does not use its arguments")]

/// Imports what the tests of a chapter check: the reader's answers, or the solutions.
#[cfg(test)]
macro_rules! answers {
    ($chapter:ident: $($name:ident),+) => {
        #[cfg(not(feature = "solutions"))]
        use super::{$($name),+};
        #[cfg(feature = "solutions")]
        use crate::solutions::$chapter::{$($name),+};
    };
}

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

#[cfg(feature = "solutions")]
#[path = "../solutions/mod.rs"]
pub mod solutions;

#[cfg(test)]
#[path = "../../tests/kit/mod.rs"]
mod kit;
