//! What an experiment does, and its bounds.

use std::time::Duration;

/// The longest time of an experiment.
pub(crate) const LONGEST: Duration = Duration::from_secs(5);

/// The most bytes that an experiment sends, and the most that it receives.
pub(crate) const MOST_BYTES: usize = 256 << 10;

/// The most steps of an experiment.
pub(crate) const MOST_STEPS: usize = 256;

/// The most bytes that a step can wait for.
pub(crate) const LONGEST_PATTERN: usize = 64;

/// The most experiments that run at the same time.
pub(crate) const MOST_RUNNING: usize = 32;

/// What is in the name of each header by which proxies tell a client's address.
const FORWARDED: &[u8] = b"forwarded";

/// A step of an experiment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Sends these bytes.
    Send(Vec<u8>),
    /// Does nothing for this time, except that it reads.
    Pause(Duration),
    /// Reads until these bytes have come. What an earlier step of this kind has found does not
    /// count again.
    Await(Vec<u8>),
    /// Reads nothing from now on.
    Deaf,
    /// Reads again.
    Hear,
    /// Ends the own direction: the server gets FIN.
    Fin,
    /// Closes the socket, as the kernel does when a program dies. If bytes are unread, the server
    /// gets a reset.
    Close,
}

/// The steps of an experiment, and the time after which it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Experiment {
    pub(super) steps: Vec<Step>,
    pub(super) within: Duration,
}

/// Why an experiment is not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    /// It has too many steps, or waits for nothing or for too many bytes.
    Steps,
    /// It sends too many bytes.
    Bytes,
    /// It takes too long.
    Time,
    /// It names the address of another client. The peer of a Unix socket counts as 127.0.0.1, and
    /// that may be a proxy which the server trusts.
    Address,
}

impl Experiment {
    /// Checks an experiment.
    pub(crate) fn new(steps: Vec<Step>, within: Duration) -> Result<Experiment, Unfit> {
        let is_wrong =
            |step: &Step| matches!(step, Step::Await(bytes) if !(1..=LONGEST_PATTERN).contains(&bytes.len()));
        if steps.len() > MOST_STEPS || steps.iter().any(is_wrong) {
            return Err(Unfit::Steps);
        }
        let sent = steps.iter().filter_map(|step| if let Step::Send(bytes) = step { Some(&bytes[..]) } else { None });
        let sent: Vec<&[u8]> = sent.collect();
        if sent.iter().map(|bytes| bytes.len()).sum::<usize>() > MOST_BYTES {
            return Err(Unfit::Bytes);
        }
        // `Forwarded` and `X-Forwarded-For`, in whatever pieces.
        if sent.concat().windows(FORWARDED.len()).any(|window| window.eq_ignore_ascii_case(FORWARDED)) {
            return Err(Unfit::Address);
        }
        if within > LONGEST {
            return Err(Unfit::Time);
        }
        Ok(Experiment { steps, within })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bound_holds() {
        let made = |steps: Vec<Step>, within: Duration| Experiment::new(steps, within).map(|_| ());
        let text = |text: &str| Step::Send(text.as_bytes().to_vec());
        let (send, wait) = (|size: usize| Step::Send(vec![0; size]), |size: usize| Step::Await(vec![0; size]));
        for (steps, within, result) in [
            (vec![], LONGEST, Ok(())),
            (vec![Step::Deaf; MOST_STEPS], LONGEST, Ok(())),
            (vec![Step::Deaf; MOST_STEPS + 1], LONGEST, Err(Unfit::Steps)),
            (vec![wait(1), wait(LONGEST_PATTERN)], LONGEST, Ok(())),
            (vec![wait(0)], LONGEST, Err(Unfit::Steps)),
            (vec![wait(LONGEST_PATTERN + 1)], LONGEST, Err(Unfit::Steps)),
            (vec![send(MOST_BYTES - 1), send(1)], LONGEST, Ok(())),
            (vec![send(MOST_BYTES), send(1)], LONGEST, Err(Unfit::Bytes)),
            (vec![], LONGEST + Duration::from_millis(1), Err(Unfit::Time)),
            (vec![text("GET / HTTP/1.1\r\nX-FORWARDED-For: 192.0.2.1\r\n")], LONGEST, Err(Unfit::Address)),
            (
                vec![text("\r\n\r\nGET / HTTP/1.1\r\nforWAR"), Step::Deaf, text("ded: for=a")],
                LONGEST,
                Err(Unfit::Address),
            ),
            (vec![text("forward"), text("and ed")], LONGEST, Ok(())),
        ] {
            let what = format!("{} steps within {within:?}", steps.len());
            assert_eq!(made(steps, within), result, "{what}");
        }
    }
}
