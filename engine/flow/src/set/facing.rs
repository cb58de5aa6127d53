//! Seeing packets from one direction.

use super::arena::NodeId;
use super::dimension::{DIRECTION, direction_number};
use super::map::PacketMap;
use super::packet::Direction;
use super::space::{PacketSet, Space};

impl Space {
    /// What a set says of packets in one direction, as a set that does not ask
    /// the direction. A packet that leaves one host and enters another meets
    /// rules of either direction; this lets their verdicts be combined.
    pub fn facing(&self, set: PacketSet, direction: Direction) -> PacketSet {
        PacketSet(self.face(set.0, direction))
    }

    /// [`Space::facing`] for a map.
    pub fn map_facing(&self, map: PacketMap, direction: Direction) -> PacketMap {
        PacketMap(self.face(map.0, direction))
    }

    // The direction is asked first, so only the root can ask it.
    fn face(&self, root: NodeId, direction: Direction) -> NodeId {
        if self.arena.level(root) == DIRECTION {
            self.arena.follow(root, direction_number(direction))
        } else {
            root
        }
    }
}
