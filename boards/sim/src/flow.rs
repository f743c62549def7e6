//! Flows of control: one coroutine per context of the simulated kernel.
//!
//! A kernel thread's coroutine stands on the stack the kernel allocated for it, guard page and all.
//! The kernel's entry functions never return and its threads end by never being continued, so a
//! flow is discarded by forgetting its stack, without unwinding: exactly what happens on the metal.
#![expect(unsafe_code, reason = "coroutines on memory the kernel manages")]

use core::cell::{Cell, RefCell};
use core::num::NonZeroUsize;

use corosensei::stack::{DefaultStack, Stack, StackPointer};
use corosensei::{Coroutine, CoroutineResult, Yielder};

/// Bytes of a stack made here, for boot flows.
const OWN_STACK: usize = 256 << 10;

/// A coroutine's stack.
enum FlowStack {
    /// Made here.
    Own(DefaultStack),
    /// The kernel's memory.
    Kernel {
        low: NonZeroUsize,
        high: NonZeroUsize,
    },
}

// SAFETY: `DefaultStack` has a guard page, and the kernel puts one below each of its stacks.
unsafe impl Stack for FlowStack {
    fn base(&self) -> StackPointer {
        match self {
            Self::Own(s) => s.base(),
            Self::Kernel { high, .. } => *high,
        }
    }
    fn limit(&self) -> StackPointer {
        match self {
            Self::Own(s) => s.limit(),
            Self::Kernel { low, .. } => *low,
        }
    }
}

/// Names a flow; numbers are never used twice in a world.
pub(crate) type FlowId = usize;

struct Flow {
    coroutine: Coroutine<(), (), (), FlowStack>,
    yielder: Cell<*const Yielder<(), ()>>,
}

/// All flows of a world.
#[derive(Default)]
pub(crate) struct Flows {
    /// Null once discarded. Boxed flows, so that running ones stay in place when the vector grows.
    all: RefCell<Vec<*mut Flow>>,
}

impl Flows {
    /// A flow that calls `main` on a stack of its own.
    pub(crate) fn boot(&self, main: impl FnOnce() + 'static) -> FlowId {
        let stack = DefaultStack::new(OWN_STACK).expect("host memory for a boot stack");
        self.add(FlowStack::Own(stack), main)
    }

    /// A flow that calls `main` on `low..high`, 16-byte aligned memory of the kernel's.
    pub(crate) fn on(&self, low: usize, high: usize, main: impl FnOnce() + 'static) -> FlowId {
        let (Some(low), Some(high)) = (NonZeroUsize::new(low), NonZeroUsize::new(high)) else {
            panic!("a stack at address zero")
        };
        self.add(FlowStack::Kernel { low, high }, main)
    }

    fn add(&self, stack: FlowStack, main: impl FnOnce() + 'static) -> FlowId {
        let mut all = self.all.borrow_mut();
        let cell = Box::into_raw(Box::<Flow>::new_uninit());
        let flow = cell.cast::<Flow>();
        let coroutine = Coroutine::with_stack(stack, move |yielder: &Yielder<(), ()>, ()| {
            // SAFETY: the flow is initialised before it is first resumed, and outlives its running.
            unsafe { (*flow).yielder.set(yielder) };
            main();
        });
        // SAFETY: fresh memory of this type.
        unsafe {
            flow.write(Flow {
                coroutine,
                yielder: Cell::new(core::ptr::null()),
            })
        };
        all.push(flow);
        all.len() - 1
    }

    /// Continues flow `id` until it suspends.
    ///
    /// # Panics
    ///
    /// If the flow was discarded or its function returned.
    pub(crate) fn resume(&self, id: FlowId) {
        let flow = self.all.borrow()[id];
        assert!(!flow.is_null(), "flow {id} was discarded and is continued");
        // SAFETY: not discarded, and running flows are resumed by the engine only, one at a time.
        let coroutine = unsafe { &mut (*flow).coroutine };
        match coroutine.resume(()) {
            CoroutineResult::Yield(()) => {}
            CoroutineResult::Return(()) => panic!("flow {id} returned from its first function"),
        }
    }

    /// Suspends the running flow `id`; returns when it is resumed. On the flow's own stack.
    #[inline]
    pub(crate) fn suspend(&self, id: FlowId) {
        let flow = self.all.borrow()[id];
        // SAFETY: the flow runs, so it is alive.
        let yielder = unsafe { (*flow).yielder.get() };
        // SAFETY: set when the flow started; it lives on the flow's stack.
        unsafe { (*yielder).suspend(()) };
    }

    /// True when the flow exists and was not discarded.
    pub(crate) fn is_alive(&self, id: FlowId) -> bool {
        self.all.borrow().get(id).is_some_and(|f| !f.is_null())
    }

    /// Forgets flow `id`, which does not run.
    pub(crate) fn discard(&self, id: FlowId) {
        let flow = core::mem::replace(&mut self.all.borrow_mut()[id], core::ptr::null_mut());
        if flow.is_null() {
            return;
        }
        // SAFETY: made by `add`, taken out of the table just now.
        let mut flow = unsafe { Box::from_raw(flow) };
        // SAFETY: nothing on the stack is ever used again; what it owned is the world's to reclaim.
        unsafe { flow.coroutine.force_reset() };
    }

    /// Forgets every flow.
    pub(crate) fn discard_all(&self) {
        let n = self.all.borrow().len();
        (0..n).for_each(|id| self.discard(id));
    }
}

impl Drop for Flows {
    fn drop(&mut self) {
        self.discard_all();
    }
}
