//! What an agent remembers, and the prompt made of it (docs/PROTOCOL.md §6, "memory" and "prompt").

use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::protocol::{DisplayName, MessageId};

/// Items an agent keeps; older ones stay in the log only.
pub const KEPT: usize = 50;
/// Items that go into a prompt.
pub const PROMPTED: usize = 10;

/// One message as an agent heard it. Shared by all agents of the world that heard it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemoryItem {
    pub message_id: MessageId,
    /// `human`, `system`, or the name of an agent.
    pub speaker: String,
    /// A person's name, if the message came with one. Absent in what was written before it was kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<DisplayName>,
    pub content: String,
}

/// The last [`KEPT`] items, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    #[serde(with = "super::snapshot::items")]
    items: VecDeque<Arc<MemoryItem>>,
}

impl Memory {
    /// Remembers `item`, unless it is the very message remembered last (an agent's own reply, which it
    /// remembers raw, comes back as the message that the world heard).
    pub fn push(&mut self, item: Arc<MemoryItem>) {
        if self.items.back().is_some_and(|last| last.message_id == item.message_id) {
            return;
        }
        if self.items.len() == KEPT {
            self.items.pop_front();
        }
        self.items.push_back(item);
    }

    pub fn clear(&mut self) {
        self.items.clear();
    }

    pub fn find(&self, message: &MessageId) -> Option<&Arc<MemoryItem>> {
        self.items.iter().rev().find(|item| item.message_id == *message)
    }

    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Arc<MemoryItem>> {
        self.items.iter()
    }

    /// The last [`PROMPTED`] items. The message that woke the agent is among them exactly once: when it is
    /// older than those, it replaces the oldest.
    pub fn prompt(&self, waking: Option<&Arc<MemoryItem>>) -> Vec<Arc<MemoryItem>> {
        let skip = self.items.len().saturating_sub(PROMPTED);
        let mut items: Vec<_> = self.items.iter().skip(skip).cloned().collect();
        if let Some(waking) = waking
            && !items.iter().any(|item| item.message_id == waking.message_id)
        {
            if items.len() == PROMPTED {
                items.remove(0);
            }
            items.insert(0, waking.clone());
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(n: usize) -> Arc<MemoryItem> {
        let message_id = MessageId::try_from(format!("00000000-0000-7000-8000-{n:012}")).unwrap();
        Arc::new(MemoryItem { message_id, speaker: "human".into(), name: None, content: n.to_string() })
    }

    fn contents(items: &[Arc<MemoryItem>]) -> Vec<usize> {
        items.iter().map(|item| item.content.parse().unwrap()).collect()
    }

    #[test]
    fn keeps_fifty_and_prompts_ten() {
        let mut memory = Memory::default();
        (0..60).for_each(|n| memory.push(item(n)));
        assert_eq!(memory.items.len(), KEPT);
        assert_eq!(contents(&memory.prompt(None)), (50..60).collect::<Vec<_>>());
    }

    #[test]
    fn the_waking_message_is_prompted_once() {
        let mut memory = Memory::default();
        (0..20).for_each(|n| memory.push(item(n)));
        assert_eq!(contents(&memory.prompt(Some(&item(15)))), (10..20).collect::<Vec<_>>());
        let mut expected = vec![3];
        expected.extend(11..20);
        assert_eq!(contents(&memory.prompt(Some(&item(3)))), expected);
        assert_eq!(contents(&Memory::default().prompt(Some(&item(3)))), [3]);
    }

    #[test]
    fn a_message_heard_twice_in_a_row_is_remembered_once() {
        let mut memory = Memory::default();
        memory.push(item(1));
        memory.push(item(1));
        assert_eq!(memory.items.len(), 1);
    }
}
