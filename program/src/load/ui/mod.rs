//! The view of a run on a terminal.
//!
//! | file | question |
//! |---|---|
//! | `view` | what is known of the run? |
//! | `warnings` | which limits come near? |
//! | `draw` | where is it shown? |
//! | `screen` | how does it get to the terminal, and which keys does it hear? |

mod draw;
mod screen;
mod view;
mod warnings;

pub(crate) use screen::Ui;
pub(crate) use view::Facts;
