//! A `redis-server` of a test, and servers that are joined by it.

use crate::common::Folder;
use lariat::OwnedMessage;
use lariat::backplane::{
    Backplane, BackplaneEvent, BackplaneEvents, BackplaneLink, History, Kept, NodeId, Publication, RedisBackplane,
    StreamPosition,
};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

/// How long anything may take.
pub const WAIT: Duration = Duration::from_secs(60);

/// A history that nothing outgrows.
pub const LONG: History = History { messages: 1_000_000, age: Duration::from_secs(3600) };

/// A `redis-server` of its own.
pub struct Redis {
    child: Option<Child>,
    pub port: u16,
    folder: Folder,
    options: Vec<String>,
}

impl Redis {
    /// Starts one that keeps nothing on disk. Returns nothing if there is no `redis-server`.
    pub fn start() -> Option<Redis> {
        Redis::start_with(&["--save", "", "--appendonly", "no"])
    }

    pub fn start_with(options: &[&str]) -> Option<Redis> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            let must_run = std::env::var_os("LARIAT_REDIS_SERVER").is_some();
            assert!(!must_run, "LARIAT_REDIS_SERVER is set, but there is no redis-server");
            eprintln!("not run: there is no redis-server");
            return None;
        }
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let mut redis = Redis { child: None, port: 0, folder: Folder::new(), options };
        // Somebody else may take the port between the look and the start.
        for _ in 0..10 {
            redis.port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
            if redis.run() {
                return Some(redis);
            }
        }
        panic!("redis-server does not start");
    }

    /// Starts the process. Returns whether it is ready.
    pub fn run(&mut self) -> bool {
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--daemonize", "no", "--dir"]);
        command.arg(self.folder.path("")).args(&self.options);
        let mut child = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().expect("redis-server");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let is_ready = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ready to accept connections"));
        std::thread::spawn(move || lines.for_each(drop));
        self.child = Some(child);
        if !is_ready {
            self.kill();
        }
        is_ready
    }

    /// Kills the process as `kill -9` does.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("a process");
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).expect("a process");
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub fn engine(&self) -> RedisBackplane {
        RedisBackplane::new(self.url())
    }

    pub fn admin(&self) -> Admin {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("Redis");
        stream.set_read_timeout(Some(WAIT)).expect("a socket");
        Admin(BufReader::new(stream))
    }

    /// Sends one command on a connection of its own.
    pub fn ask(&self, arguments: &[&str]) -> Reply {
        self.admin().ask(arguments)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A plain connection.
pub struct Admin(BufReader<TcpStream>);

#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    Number(i64),
    Nothing,
    List(Vec<Reply>),
}

impl Admin {
    pub fn ask(&mut self, arguments: &[&str]) -> Reply {
        self.ask_bytes(&arguments.iter().map(|argument| argument.as_bytes()).collect::<Vec<_>>())
    }

    pub fn ask_bytes(&mut self, arguments: &[&[u8]]) -> Reply {
        let mut command = format!("*{}\r\n", arguments.len()).into_bytes();
        for argument in arguments {
            command.extend(format!("${}\r\n", argument.len()).as_bytes());
            command.extend(*argument);
            command.extend(b"\r\n");
        }
        self.0.get_mut().write_all(&command).expect("Redis");
        self.reply()
    }

    fn reply(&mut self) -> Reply {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("Redis");
        let (kind, rest) = line.trim_end().split_at(1);
        let number = || rest.parse::<i64>().expect("a number");
        match kind {
            "+" | "-" => Reply::Text(rest.to_owned()),
            ":" => Reply::Number(number()),
            "*" => Reply::List((0..number()).map(|_| self.reply()).collect()),
            _ if number() < 0 => Reply::Nothing,
            _ => {
                let mut bytes = vec![0; usize::try_from(number()).expect("a length") + 2];
                self.0.read_exact(&mut bytes).expect("Redis");
                Reply::Text(String::from_utf8_lossy(&bytes[..bytes.len() - 2]).into_owned())
            }
        }
    }
}

/// A server that is joined to others.
pub struct Node {
    pub id: NodeId,
    pub link: Box<dyn BackplaneLink>,
    pub events: Receiver<BackplaneEvent>,
}

impl Node {
    pub fn start(engine: RedisBackplane) -> Node {
        Node::start_with(engine, || ())
    }

    /// Calls something before each event.
    pub fn start_with(engine: RedisBackplane, before: impl Fn() + Send + Sync + 'static) -> Node {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let id = NodeId(number << 32 | u64::from(std::process::id()));
        let (sender, events) = mpsc::channel();
        let report = BackplaneEvents::new(move |event| {
            before();
            let _ = sender.send(event);
        });
        Node { id, link: Box::new(engine).start(id, report).expect("options that are right"), events }
    }

    /// Starts one and waits until it is connected.
    pub fn up(engine: RedisBackplane) -> Node {
        let node = Node::start(engine);
        node.expect_up();
        node
    }

    #[track_caller]
    pub fn next(&self) -> BackplaneEvent {
        self.events.recv_timeout(WAIT).expect("an event")
    }

    #[track_caller]
    pub fn expect_up(&self) {
        let event = self.next();
        assert!(matches!(event, BackplaneEvent::Up), "{event:?}");
    }

    #[track_caller]
    pub fn expect_down(&self) -> String {
        match self.next() {
            BackplaneEvent::Down(reason) => reason,
            event => panic!("{event:?}"),
        }
    }

    #[track_caller]
    pub fn expect_text(&self) -> String {
        match self.next() {
            BackplaneEvent::Message { message, .. } => text_of(&message),
            event => panic!("{event:?}"),
        }
    }

    #[track_caller]
    pub fn expect_kept(&self) -> (StreamPosition, String) {
        match self.next() {
            BackplaneEvent::Kept { kept: Kept { position, message }, .. } => (position, text_of(&message)),
            event => panic!("{event:?}"),
        }
    }

    #[track_caller]
    pub fn expect_texts(&self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            assert_eq!(self.expect_kept().1, text);
        }
    }

    #[track_caller]
    pub fn expect_caught(&self) -> StreamPosition {
        match self.next() {
            BackplaneEvent::Caught { position, .. } => position,
            event => panic!("{event:?}"),
        }
    }

    #[track_caller]
    pub fn expect_gap(&self) -> Option<StreamPosition> {
        match self.next() {
            BackplaneEvent::Gap { position, .. } => position,
            event => panic!("{event:?}"),
        }
    }

    /// Publishes to a topic with a history, and waits for the position.
    #[track_caller]
    pub fn keep(&self, topic: &str, text: &str) -> StreamPosition {
        self.publish(kept(topic, text, LONG))
    }

    /// Publishes, and waits for the position. Other events are passed over.
    #[track_caller]
    pub fn publish(&self, publication: Publication) -> StreamPosition {
        self.link.publish(Publication { ticket: Some(1), ..publication }).expect("room");
        loop {
            if let BackplaneEvent::Published { outcome, .. } = self.next() {
                return outcome.expect("it is published").expect("a position");
            }
        }
    }

    /// Subscribes a topic without a history, and waits until that is so.
    pub fn listen(&self, redis: &Redis, topic: &str) {
        self.link.subscribe(&topic.into(), None, None);
        until(|| {
            let Reply::List(counts) = redis.ask(&["PUBSUB", "NUMSUB", &format!("lariat:{topic}")]) else {
                return false;
            };
            counts.get(1).is_some_and(|count| *count != Reply::Number(0))
        });
    }
}

/// Looks until something is so.
#[track_caller]
pub fn until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "it has not happened");
        std::thread::yield_now();
    }
}

pub fn text_of(message: &OwnedMessage) -> String {
    message.as_message().as_text().expect("text").to_owned()
}

pub fn plain(topic: &str, text: &str) -> Publication {
    let message = Arc::new(OwnedMessage::text(text));
    Publication { topic: Arc::from(topic), message, latest: None, history: None, once: None, ticket: None }
}

pub fn kept(topic: &str, text: &str, history: History) -> Publication {
    Publication { history: Some(history), ..plain(topic, text) }
}
