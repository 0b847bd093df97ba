//! `lariat load --storm` and `--reconnect`, slow readers, and Unix sockets.

use crate::common::serve;
use crate::{Counting, echo, load};

#[test]
fn connections_that_a_storm_cuts_come_back() {
    let (server, seen) = Counting::new(echo);
    let running = serve(server);
    let options = "-c 40 --echo -m 400 --hold 1500ms --storm 50%@200ms --storm 100%@700ms:rst \
                   --reconnect backoff=50ms..200ms,jitter=full";
    let run = load(&format!("ws://{}/", running.addr), options);
    assert_eq!((run.code, run.errors()), (Some(0), vec![]), "{}", run.stderr);
    for (storm, cut, kind) in [(0, 20, "fin"), (1, 40, "rst")] {
        assert_eq!(run.count(&format!("storms {storm} cut")), cut);
        assert_eq!(run.count(&format!("storms {storm} back")), cut);
        assert_eq!(run.count(&format!("storms {storm} failed")), 0);
        assert_eq!(run.count(&format!("storms {storm} handshake count")), cut);
        assert_eq!(run.report["storms"][storm]["kind"], kind);
        assert!((0.0..=0.5).contains(&run.number(&format!("storms {storm} all_back_s"))), "{}", run.report["storms"]);
    }
    assert_eq!((run.count("connections reconnected"), run.count("connections at_end")), (60, 40));
    let lost = run.count("storms 0 messages_lost") + run.count("storms 1 messages_lost");
    assert_eq!(run.count("messages sent"), run.count("messages right") + lost);
    assert_eq!(seen.lock().expect("nobody has panicked").opened, 100);
}

/// The storm comes, and the server goes with it.
#[test]
fn a_storm_says_how_many_did_not_come_back() {
    fn refuse(clients: &mut lariat::Clients<()>, _: lariat::ClientId, _: lariat::Message<'_>) {
        clients.shutdown(lariat::Drain::default());
    }
    let (server, _) = Counting::new(refuse);
    let running = serve(server);
    let options = "-c 4 -m 4 --hold 400ms --storm 100%@1ms --reconnect backoff=10ms,jitter=none";
    let run = load(&format!("ws://{}/", running.addr), options);
    assert_eq!(run.count("storms 0 cut") + run.count("connections lost"), 4, "{:#}", run.report);
    assert!(run.count("connections reconnected") < 4);
}

#[test]
fn slow_readers_do_not_spoil_the_times_of_the_others() {
    let (server, _) = Counting::new(echo);
    let running = serve(server);
    let run = load(&format!("ws://{}/", running.addr), "-c 10 --echo --size 4000 --hold 500ms --slow-readers 20%");
    let (all, timed) = (run.count("messages right"), run.count("latency round_trip count"));
    assert!(timed < all && all - timed < 20, "{timed} of {all}");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_is_as_good_as_an_address() {
    use crate::common::Folder;
    let folder = Folder::new();
    let path = folder.path("socket");
    let server = lariat::Server::<()>::new(lariat::Config::default()).expect("a poller");
    let server = server.listen_unix(&path).expect("a socket");
    let remote = server.remote();
    let (handler, seen) = Counting::new(echo);
    let thread = std::thread::spawn(move || server.run(handler));
    let socket = path.to_str().expect("UTF-8");
    let run = load("ws://anything/x", &format!("-c 30 --echo --hold 200ms --unix {socket}"));
    assert_eq!((run.code, run.errors(), run.count("connections opened")), (Some(0), vec![], 30), "{}", run.stderr);
    assert_eq!(run.count("messages sent"), run.count("messages right"));
    assert_eq!(seen.lock().expect("nobody has panicked").opened, 30);
    remote.shutdown(lariat::Drain::default()).expect("it runs");
    thread.join().expect("no panic").expect("it works");
    let run = load("ws://anything/x", &format!("-c 3 --hold 10ms --unix {socket}"));
    assert_eq!((run.code, run.count("connections failed")), (Some(1), 3));
}
