//! What the ticker keeps, for the process that takes over.
//!
//! The prices go on from the last ones, with the random numbers of that process.

use super::ticker::{Cost, Meter, PAST, PRICES, Ticker};
use crate::site::carried::{MOST, check};
use lariat::{ClientId, RestoreError, TimerId, saved};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};

#[derive(Deserialize, Serialize)]
struct SavedTicker<'a> {
    ticks: u64,
    idle: u32,
    books: u64,
    tick_timer: Option<TimerId>,
    book_timer: Option<TimerId>,
    report_timer: Option<TimerId>,
    symbols: BTreeMap<Cow<'a, str>, SavedWalk<'a>>,
    meters: BTreeMap<ClientId, SavedMeter<'a>>,
    /// The polls in progress, and the page of each.
    polls: BTreeMap<ClientId, ClientId>,
}

#[derive(Deserialize, Serialize)]
struct SavedWalk<'a> {
    price: u32,
    past: Cow<'a, VecDeque<u32>>,
}

#[derive(Deserialize, Serialize)]
struct SavedMeter<'a> {
    token: Cow<'a, str>,
    pushed: SavedCost,
    polled: SavedCost,
}

#[derive(Deserialize, Serialize)]
struct SavedCost {
    count: u64,
    read: u64,
    written: u64,
}

impl Ticker {
    pub(super) fn saved(&self) -> Option<Vec<u8>> {
        let walks = self.walks.iter();
        let meter = |meter: &Meter| SavedMeter {
            token: Cow::Owned(meter.token.clone()),
            pushed: meter.pushed.saved(),
            polled: meter.polled.saved(),
        };
        saved::to_bytes(&SavedTicker {
            ticks: self.ticks,
            idle: self.idle,
            books: self.books,
            tick_timer: self.tick_timer,
            book_timer: self.book_timer,
            report_timer: self.report_timer,
            symbols: walks
                .map(|walk| (walk.name.into(), SavedWalk { price: walk.price, past: Cow::Borrowed(&walk.past) }))
                .collect(),
            meters: self.meters.iter().map(|(id, of)| (*id, meter(of))).collect(),
            polls: self.polls.iter().map(|(poll, page)| (*poll, *page)).collect(),
        })
    }

    /// Restores what was saved. A symbol that was not there begins as in a new ticker.
    pub(super) fn restore_saved(&mut self, bytes: &[u8]) -> Result<(), RestoreError> {
        let mut saved: SavedTicker<'_> = saved::from_bytes(bytes)?;
        check(saved.ticks < MOST && saved.books < MOST, "a number of the ticker")?;
        for walk in &mut self.walks {
            let Some(SavedWalk { price, past }) = saved.symbols.remove(walk.name) else { continue };
            let is_price = |price: &u32| PRICES.contains(price);
            check(is_price(&price) && past.iter().all(is_price) && past.len() <= PAST, "a price")?;
            (walk.price, walk.past) = (price, past.into_owned());
        }
        (self.ticks, self.books, self.idle) = (saved.ticks, saved.books, saved.idle.min(1 << 16));
        (self.tick_timer, self.book_timer) = (saved.tick_timer, saved.book_timer);
        self.report_timer = saved.report_timer;
        self.polls = saved.polls.into_iter().collect();
        self.meters.clear();
        for (id, SavedMeter { token, pushed, polled }) in saved.meters {
            let (token, pushed, polled) = (token.into_owned(), pushed.restored()?, polled.restored()?);
            self.meters.insert(id, Meter { token, pushed, polled });
        }
        Ok(())
    }
}

impl Cost {
    const fn saved(self) -> SavedCost {
        let Cost { count, read, written } = self;
        SavedCost { count, read, written }
    }
}

impl SavedCost {
    fn restored(self) -> Result<Cost, RestoreError> {
        let SavedCost { count, read, written } = self;
        check(count.max(read).max(written) < MOST, "a count of bytes")?;
        Ok(Cost { count, read, written })
    }
}
