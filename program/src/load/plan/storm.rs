//! Storms: when connections are cut, and how they come back.

use crate::terminal::units;
use std::str::FromStr;
use std::time::Duration;

/// Connections that are cut at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct StormPlan {
    /// When, counted from the beginning of the hold.
    pub(crate) at: Duration,
    /// The share of the open connections, from 0 to 1.
    pub(crate) share: f64,
    pub(crate) cut: Cut,
}

/// How a connection is cut. The server gets no Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The stream ends.
    Fin,
    /// The stream is reset.
    Rst,
}

impl Cut {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Cut::Fin => "fin",
            Cut::Rst => "rst",
        }
    }
}

impl FromStr for StormPlan {
    type Err = String;

    fn from_str(text: &str) -> Result<StormPlan, String> {
        let wrong =
            || "write 50%@10s: half of the connections, 10 s after the hold has begun; or 50%@10s:rst".to_owned();
        let (share, at) = text.split_once('@').ok_or_else(wrong)?;
        let (at, cut) = match at.split_once(':') {
            None | Some((_, "fin")) => (at.split(':').next().unwrap_or(at), Cut::Fin),
            Some((at, "rst")) => (at, Cut::Rst),
            Some(_) => return Err(wrong()),
        };
        let at = if at == "0" || at == "0s" { Duration::ZERO } else { units::duration(at)? };
        Ok(StormPlan { at, share: units::percent(share)?, cut })
    }
}

/// How connections come back that were lost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reconnect {
    /// The wait before the first attempt. It doubles with each that fails.
    first: Duration,
    most: Duration,
    jitter: Jitter,
}

/// Which part of a wait is random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Jitter {
    /// None: all come back at the same time.
    None,
    /// The second half.
    Equal,
    /// All of it.
    Full,
}

impl Default for Reconnect {
    fn default() -> Reconnect {
        Reconnect { first: Duration::from_secs(1), most: Duration::from_secs(30), jitter: Jitter::Full }
    }
}

impl FromStr for Reconnect {
    type Err = String;

    fn from_str(text: &str) -> Result<Reconnect, String> {
        let mut reconnect = Reconnect::default();
        for part in text.split(',') {
            match part.split_once('=') {
                Some(("backoff", range)) => {
                    let (first, most) = range.split_once("..").unwrap_or((range, range));
                    (reconnect.first, reconnect.most) = (units::duration(first)?, units::duration(most)?);
                    if reconnect.first > reconnect.most {
                        return Err(format!("{range} ends before it begins"));
                    }
                }
                Some(("jitter", "none")) => reconnect.jitter = Jitter::None,
                Some(("jitter", "equal")) => reconnect.jitter = Jitter::Equal,
                Some(("jitter", "full")) => reconnect.jitter = Jitter::Full,
                _ => return Err("write backoff=1s..30s,jitter=full; other jitters are none and equal".to_owned()),
            }
        }
        Ok(reconnect)
    }
}

impl Reconnect {
    /// Returns the wait after so many attempts that failed. `random` is from 0 to 1.
    pub(crate) fn wait(&self, failed: u32, random: f64) -> Duration {
        let longest = self.first.saturating_mul(1 << failed.min(20)).min(self.most);
        match self.jitter {
            Jitter::None => longest,
            Jitter::Equal => longest.mul_f64(0.5 + random / 2.0),
            Jitter::Full => longest.mul_f64(random),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storms_say_when_and_how_many() {
        let storm = |at, share, cut| Ok(StormPlan { at, share, cut });
        assert_eq!("50%@10s".parse(), storm(Duration::from_secs(10), 0.5, Cut::Fin));
        assert_eq!("0.5%@500ms:rst".parse(), storm(Duration::from_millis(500), 0.005, Cut::Rst));
        assert_eq!("100%@0s:fin".parse(), storm(Duration::ZERO, 1.0, Cut::Fin));
        for text in ["", "50@10s", "50%", "50%@", "0%@1s", "101%@1s", "-1%@1s", "50%@1s:tcp", "NaN%@1s"] {
            assert!(text.parse::<StormPlan>().is_err(), "{text}");
        }
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let plain: Reconnect = "backoff=1s..5s,jitter=none".parse().expect("it makes sense");
        let waits: Vec<u64> = (0..5).map(|failed| plain.wait(failed, 0.3).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 5, 5]);
        let equal: Reconnect = "jitter=equal".parse().expect("it makes sense");
        assert_eq!(equal.wait(1, 0.5), Duration::from_millis(1_500));
        assert_eq!(Reconnect::default().wait(100, 0.5), Duration::from_secs(15));
        assert_eq!(Reconnect::default().wait(0, 0.0), Duration::ZERO);
        for text in ["", "fast", "backoff=5s..1s", "backoff=x", "jitter=some"] {
            assert!(text.parse::<Reconnect>().is_err(), "{text}");
        }
    }
}
