//! The memory of a guest. A call lives for milliseconds, on one thread, in a
//! memory of its own that is thrown away after it: small blocks are handed out
//! again by their size and never merged, which takes a tenth of the whole call's
//! time off what the C library's allocator does.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    ptr::{self, null_mut},
};

/// Sizes are rounded up to it; every block is aligned to it.
const GRAIN_BYTES: usize = 16;
/// Larger blocks are the underlying allocator's.
const SMALL_BYTES: usize = 1_024;
/// What is taken of it at once for small blocks.
const CHUNK_BYTES: usize = 64 << 10;
const CLASSES: usize = SMALL_BYTES / GRAIN_BYTES + 1;

/// Pools of small blocks over another allocator, for one thread.
pub(crate) struct Pools<A> {
    under: A,
    /// For each size in grains the first free block, which holds the next one.
    free: [Cell<*mut u8>; CLASSES],
    /// The part of the newest chunk that was not handed out yet.
    next: Cell<*mut u8>,
    left_bytes: Cell<usize>,
}

// SAFETY: a component has one thread; the proposal for threads is not enabled.
#[cfg(target_arch = "wasm32")]
unsafe impl Sync for Pools<System> {}

#[cfg(target_arch = "wasm32")]
impl Pools<System> {
    pub(crate) const fn new() -> Self {
        Self::over(System)
    }
}

fn is_small(layout: Layout) -> bool {
    layout.size() <= SMALL_BYTES && layout.align() <= GRAIN_BYTES
}

fn class(bytes: usize) -> usize {
    bytes.div_ceil(GRAIN_BYTES)
}

impl<A> Pools<A> {
    const fn over(under: A) -> Self {
        Self {
            under,
            free: [const { Cell::new(null_mut()) }; CLASSES],
            next: Cell::new(null_mut()),
            left_bytes: Cell::new(0),
        }
    }
}

impl<A: GlobalAlloc> Pools<A> {
    /// The first block of a new chunk. What was left of the one before is lost.
    #[cold]
    #[inline(never)]
    fn cut_new_chunk(&self, bytes: usize) -> *mut u8 {
        let Ok(layout) = Layout::from_size_align(CHUNK_BYTES, GRAIN_BYTES) else {
            return null_mut();
        };
        // SAFETY: the size is not zero.
        let chunk = unsafe { self.under.alloc(layout) };
        if !chunk.is_null() {
            // SAFETY: a small block is smaller than a chunk.
            self.next.set(unsafe { chunk.add(bytes) });
            self.left_bytes.set(CHUNK_BYTES - bytes);
        }
        chunk
    }
}

// SAFETY: a block is in use or on one list, never both: it leaves its list before
// it is handed out. Blocks of a class are as large as the class, and those cut from
// chunks begin at multiples of the grain in them.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Pools<A> {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if !is_small(layout) {
            // SAFETY: as this function's caller promises.
            return unsafe { self.under.alloc(layout) };
        }
        let class = class(layout.size());
        let free = &self.free[class];
        let first = free.get();
        if !first.is_null() {
            // SAFETY: a block on a list is not in use and holds a pointer.
            free.set(unsafe { first.cast::<*mut u8>().read() });
            return first;
        }
        let bytes = class * GRAIN_BYTES;
        let left_bytes = self.left_bytes.get();
        if bytes > left_bytes {
            return self.cut_new_chunk(bytes);
        }
        let block = self.next.get();
        // SAFETY: so many bytes of the chunk are left.
        self.next.set(unsafe { block.add(bytes) });
        self.left_bytes.set(left_bytes - bytes);
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if !is_small(layout) {
            // SAFETY: as this function's caller promises.
            return unsafe { self.under.dealloc(block, layout) };
        }
        let free = &self.free[class(layout.size())];
        // SAFETY: the block is not in use any more, aligned, and at least a grain.
        unsafe { block.cast::<*mut u8>().write(free.get()) };
        free.set(block);
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that such a layout is valid.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (is_small(layout), is_small(wanted)) {
            // SAFETY: as this function's caller promises.
            (false, false) => return unsafe { self.under.realloc(block, layout, size) },
            (true, true) if class(layout.size()) == class(size) => return block,
            _ => {}
        }
        // SAFETY: the sizes are not zero, the new block is another one.
        unsafe {
            let new = self.alloc(wanted);
            if !new.is_null() {
                ptr::copy_nonoverlapping(block, new, layout.size().min(size));
                self.dealloc(block, layout);
            }
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Copy, Debug)]
    enum Act {
        Take(usize, usize),
        Resize(usize, usize),
        Give(usize),
    }

    fn acts() -> impl Strategy<Value = Vec<Act>> {
        let size = || prop_oneof![4 => 1_usize..80, 2 => 900_usize..1_100, 1 => 1_usize..100_000];
        let act = prop_oneof![
            3 => (size(), 0_u32..6).prop_map(|(size, align)| Act::Take(size, 1 << align)),
            2 => (any::<usize>(), size()).prop_map(|(which, size)| Act::Resize(which, size)),
            2 => any::<usize>().prop_map(Act::Give),
        ];
        prop::collection::vec(act, 1..200)
    }

    /// A block that was handed out, and the byte that all of it was filled with.
    struct Held {
        block: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl Held {
        fn fill(&self) {
            unsafe { self.block.write_bytes(self.mark, self.layout.size()) };
        }

        fn bytes(&self) -> &[u8] {
            unsafe { std::slice::from_raw_parts(self.block, self.layout.size()) }
        }

        fn is_untouched(&self) -> bool {
            self.bytes().iter().all(|byte| *byte == self.mark)
        }
    }

    proptest! {
        #[test]
        fn blocks_in_use_are_aligned_apart_and_keep_what_they_hold(acts in acts()) {
            let pools = Pools::over(System);
            let mut held: Vec<Held> = Vec::new();
            for (number, act) in acts.into_iter().enumerate() {
                let mark = u8::try_from(number % 251).unwrap();
                match act {
                    Act::Take(size, align) => {
                        let layout = Layout::from_size_align(size, align).unwrap();
                        let block = unsafe { pools.alloc(layout) };
                        held.push(Held { block, layout, mark });
                    }
                    Act::Resize(which, size) if !held.is_empty() => {
                        let at = which % held.len();
                        let old = held.swap_remove(at);
                        prop_assert!(old.is_untouched());
                        let layout = Layout::from_size_align(size, old.layout.align()).unwrap();
                        let block = unsafe { pools.realloc(old.block, old.layout, size) };
                        let kept = size.min(old.layout.size());
                        let new = Held { block, layout, mark };
                        prop_assert!(new.bytes()[..kept].iter().all(|byte| *byte == old.mark));
                        held.push(new);
                    }
                    Act::Give(which) if !held.is_empty() => {
                        let old = held.swap_remove(which % held.len());
                        prop_assert!(old.is_untouched());
                        unsafe { pools.dealloc(old.block, old.layout) };
                        continue;
                    }
                    _ => continue,
                }
                let new = held.last().unwrap();
                prop_assert_eq!(new.block.addr() % new.layout.align(), 0);
                new.fill();
            }
            for block in held {
                prop_assert!(block.is_untouched());
                unsafe { pools.dealloc(block.block, block.layout) };
            }
        }
    }

    #[test]
    fn a_block_given_back_is_the_next_of_its_size() {
        let pools = Pools::over(System);
        let layout = Layout::from_size_align(40, 8).unwrap();
        let as_large = Layout::from_size_align(48, 1).unwrap();
        unsafe {
            let first = pools.alloc(layout);
            let second = pools.alloc(layout);
            assert_ne!(first, second);
            pools.dealloc(first, layout);
            assert_eq!(pools.alloc(as_large), first);
        }
    }

    /// Has no memory to give.
    struct Exhausted;

    unsafe impl GlobalAlloc for Exhausted {
        unsafe fn alloc(&self, _: Layout) -> *mut u8 {
            null_mut()
        }

        unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
    }

    #[test]
    fn where_no_memory_is_left_no_block_is_given() {
        let pools = Pools::over(Exhausted);
        for size in [1, SMALL_BYTES, SMALL_BYTES + 1] {
            let layout = Layout::from_size_align(size, 1).unwrap();
            assert!(unsafe { pools.alloc(layout) }.is_null());
        }
    }
}
