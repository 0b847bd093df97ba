//! The apps of the site.
//!
//! A new app needs a line in [`APPS`], a handler beside this file, and a page in `pages/`.

use super::Options;
use super::arena::Arena;
use super::assets::{File, Reach, file};
use super::chat::{self, Chat};
use super::console::Console;
use super::editor::{self, Editor};
use super::index::Index;
use super::ticker::Ticker;
use super::watch::Loop;
use lariat::Router;

/// A page, and the handler of its sockets at the same path.
pub(super) struct App {
    pub(super) path: &'static str,
    pub(super) title: &'static str,
    /// The sentence for the index.
    pub(super) sentence: &'static str,
    /// The content of the page's `<main>`. The rest comes from `shell.html`.
    pub(super) page: &'static str,
    /// The files of this page. The first script is loaded as a module, and the styles after those
    /// of the site.
    pub(super) files: &'static [File],
    pub(super) reach: Reach,
    /// Adds the handler to the router, under its path.
    pub(super) route: fn(Router<()>, &'static str, &Options) -> Router<()>,
}

/// The loop of the handlers that keep something, such as rooms: all their clients are there. It is
/// one loop for all of them, because the console watches clients of each.
pub(super) const STATEFUL: usize = 0;

/// The page at `/`, which lists the apps.
pub(super) const INDEX: App = App {
    path: "/",
    title: "Lariat",
    sentence: "A WebSocket server, and what you can do with it.",
    page: include_str!("pages/index.html"),
    files: &[file!("index.js"), file!("index.css")],
    reach: Reach::Here,
    route: |router, path, _| router.route(path, Index::new(APPS.iter().map(|app| app.path).chain(ENDPOINTS))),
};

/// The endpoints without a page, for other programs. The index counts their clients too.
pub(super) const ENDPOINTS: [&str; 2] = ["/echo", "/broadcast"];

/// The apps, in the order of the index.
pub(super) const APPS: &[App] = &[
    App {
        path: "/console",
        title: "Console",
        sentence: "Open a WebSocket by hand, and see every byte of it as the server saw it.",
        page: include_str!("pages/console.html"),
        files: &[file!("console.js"), file!("wire.js"), file!("console.css")],
        reach: Reach::Everywhere,
        route: |router, path, _| router.route(path, Console::default()).on_loop(STATEFUL),
    },
    App {
        path: chat::PATH,
        title: "Chat",
        sentence: "Rooms to talk in. No message is lost and none appears twice, even if the connection breaks.",
        page: include_str!("pages/chat.html"),
        files: &[file!("chat.js"), file!("conversation.js"), file!("chat.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Chat::default()).also("/chat/*").on_loop(STATEFUL),
    },
    App {
        path: editor::PATH,
        title: "Editor",
        sentence: "Write one text with others at the same time, even while you are offline.",
        page: include_str!("pages/editor.html"),
        files: &[file!("editor.js"), file!("replica.js"), file!("operation.js"), file!("editor.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Editor::default()).on_loop(STATEFUL),
    },
    App {
        path: "/arena",
        title: "Arena",
        sentence: "Ride around strays and close the loop: a game for everybody here, and a few bots.",
        page: include_str!("pages/arena.html"),
        files: &[file!("arena.js"), file!("game.js"), file!("arena.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Arena::default()).on_loop(STATEFUL),
    },
    App {
        path: "/ticker",
        title: "Ticker",
        sentence: "Live prices, for fast and slow readers, and the cost of polling compared with pushing.",
        page: include_str!("pages/ticker.html"),
        files: &[file!("ticker.js"), file!("chart.js"), file!("slow-reader.js"), file!("ticker.css")],
        reach: Reach::Here,
        route: |router, path, _| router.route(path, Ticker::default()).also("/ticker/latest").on_loop(STATEFUL),
    },
    App {
        path: "/loop",
        title: "Loop",
        sentence: "Watch the event loop that serves you: every connection and every phase of a turn. Slow it down, or step through it.",
        page: include_str!("pages/loop.html"),
        files: &[file!("loop.js"), file!("grid.js"), file!("loop.css")],
        reach: Reach::Here,
        route: |router, path, options| router.route(path, Loop::new(options.teach)),
    },
];

/// The files of all pages.
pub(super) const SHARED: [File; 4] = [file!("style.css"), file!("page.js"), file!("socket.js"), file!("icon.svg")];

/// Returns the paths of all pages, the index first.
pub fn page_paths() -> impl Iterator<Item = &'static str> {
    [&INDEX].into_iter().chain(APPS).map(|app| app.path)
}

/// Returns the names of all files below `/assets`.
pub fn file_names() -> impl Iterator<Item = &'static str> {
    let files = [&INDEX].into_iter().chain(APPS).flat_map(|app| app.files);
    SHARED.iter().chain(files).map(|file| file.name)
}
