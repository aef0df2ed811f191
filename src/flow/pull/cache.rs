//! Pages that can never change again, kept in memory up to a number of bytes.
//!
//! Two generations: what is asked for stays in the young one; when that is full it becomes the old
//! one, and what nobody asked for since is forgotten. Knows nothing of what makes a page final.

use std::collections::HashMap;
use std::hash::Hash;

use super::Page;

pub struct Cache<K> {
    young: HashMap<K, Page>,
    old: HashMap<K, Page>,
    young_bytes: usize,
    generation_bytes: usize,
}

impl<K: Hash + Eq + Clone> Cache<K> {
    /// Holds at most so many bytes of bodies.
    pub fn new(bytes: usize) -> Cache<K> {
        Cache {
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            generation_bytes: bytes / 2,
        }
    }

    pub fn get(&mut self, key: &K) -> Option<Page> {
        if let Some(page) = self.young.get(key) {
            return Some(page.clone());
        }
        let (key, page) = self.old.remove_entry(key)?;
        self.put(key, page.clone());
        Some(page)
    }

    pub fn put(&mut self, key: K, page: Page) {
        let bytes = page.body.len();
        if bytes > self.generation_bytes {
            return;
        }
        if self.young_bytes + bytes > self.generation_bytes {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if self.young.insert(key, page).is_none() {
            self.young_bytes += bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(bytes: usize) -> Page {
        Page {
            body: vec![0; bytes].into(),
            etag: String::new(),
        }
    }

    #[test]
    fn what_is_asked_for_stays_and_the_rest_is_forgotten_in_time() {
        let mut cache = Cache::new(200);
        cache.put(0, page(10));
        for key in 1..100 {
            cache.put(key, page(10));
            assert!(cache.get(&0).is_some(), "after {key}");
            let held: usize = cache
                .young
                .values()
                .chain(cache.old.values())
                .map(|page| page.body.len())
                .sum();
            assert!(held <= 200, "{held} bytes after {key}");
        }
        assert!(cache.get(&1).is_none() && cache.get(&99).is_some());
    }

    #[test]
    fn a_page_larger_than_a_generation_is_not_kept() {
        let mut cache = Cache::new(200);
        cache.put(0, page(101));
        assert!(cache.get(&0).is_none());
    }
}
