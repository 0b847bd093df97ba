//! `/ticker`: random prices, which pages get by push or by poll, and the cost of both.
//!
//! | file | question |
//! |---|---|
//! | `ticker` | what are the prices, and what do pages get? |

mod ticker;

pub use ticker::Ticker;
