//! The scripted browser for tests: every step must work, and every address is recorded.

use std::sync::{Arc, Mutex};

use super::TourError;
use super::walker::{Hop, Page, Walker, Watch};
use crate::emulator::testing::{Routers, StandingClock};

#[derive(Clone, Default)]
struct Notes(Arc<Mutex<Vec<String>>>);

impl Watch for Notes {
    fn hop(&mut self, hop: &Hop) -> Result<(), TourError> {
        self.0.lock().unwrap().push(hop.url.to_string());
        Ok(())
    }
}

/// A browser that keeps its page between calls.
pub(in crate::emulator) struct Browser {
    walker: Walker<'static>,
    notes: Notes,
    page: Option<Arc<Page>>,
}

/// A page, and the addresses on the way to it.
#[derive(Debug)]
pub(in crate::emulator) struct Seen {
    pub(in crate::emulator) url: String,
    pub(in crate::emulator) visited: Vec<String>,
    page: Arc<Page>,
}

impl Seen {
    pub(in crate::emulator) fn has(&self, id: &str) -> bool {
        self.page.document.has(id)
    }

    pub(in crate::emulator) fn text(&self, id: &str) -> Option<&str> {
        self.page.document.text(id)
    }
}

impl Browser {
    pub(in crate::emulator) fn new(servers: Routers) -> Self {
        let notes = Notes::default();
        let clock = Box::leak(Box::new(StandingClock::at(1_800_000_000)));
        let walker = Walker::new(Box::leak(Box::new(servers)), clock, Box::leak(Box::new(notes.clone())));
        Self { walker, notes, page: None }
    }

    pub(in crate::emulator) async fn open(&mut self, url: &str) -> Seen {
        let page = self.walker.open(&url.parse().unwrap()).await.unwrap();
        self.see(page)
    }

    pub(in crate::emulator) async fn click(&mut self, id: &str, filled: &[(&str, &str)]) -> Seen {
        let page = Arc::clone(self.page.as_ref().unwrap());
        let page = self.walker.click(&page, id, filled).await.unwrap();
        self.see(page)
    }

    fn see(&mut self, page: Page) -> Seen {
        let page = Arc::new(page);
        self.page = Some(Arc::clone(&page));
        let visited = std::mem::take(&mut *self.notes.0.lock().unwrap());
        Seen { url: page.url.to_string(), visited, page }
    }
}
