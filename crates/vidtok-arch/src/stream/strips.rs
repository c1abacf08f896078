//! Strips of a frame's rows: running groups of layers strip by strip, and the rows that kernels over height share.

use tch::Tensor;
use vidtok_torch::{CausalContext, RowEdges};

use crate::layer::Run;
use crate::stream::state::{StreamState, StripPosition};

/// The axis of rows in `[b, t, h, w, c]`.
const ROWS: i64 = 2;
/// The axis of columns in `[b, t, h, w, c]`.
const COLUMNS: i64 = 3;

/// Rows of every kernel over height.
const KERNEL_ROWS: i64 = 3;

/// Rows of zeros above and below the frame for a 3x3 convolution that keeps the size.
pub(crate) const SAME_ROWS: [i64; 2] = [1, 1];

impl StreamState {
    /// Runs `groups` of layers, of which the first has the index `first`, on all strips of `x` `[b, t, h, w, c]` and joins the
    /// results. A group skips the strips for which the one before it has no output yet. A row of `x` stands for
    /// `input_rows` rows of the network's input.
    pub(crate) fn over_strips(
        &mut self,
        x: Tensor,
        input_rows: i64,
        first: usize,
        groups: &[&dyn Run],
    ) -> Option<Tensor> {
        let rows = self.strip_rows().map(|rows| (rows / input_rows).max(1));
        match rows.filter(|&rows| rows < x.size()[ROWS as usize]) {
            Some(rows) => {
                let mut outputs = Vec::new();
                self.descend(x, rows, true, first, groups, &mut outputs);
                (!outputs.is_empty()).then(|| Tensor::cat(&outputs, ROWS))
            }
            None => groups
                .iter()
                .zip(first..)
                .try_fold(x, |x, (group, index)| self.run_group(index, |state| group.run(x, state))),
        }
    }

    /// Runs all of `x` through `groups` in strips of about `rows` rows. The last strip of a group brings the rows that
    /// waited in it; it is cut again for the next group, so that strips do not grow from group to group.
    fn descend(
        &mut self,
        x: Tensor,
        rows: i64,
        is_last: bool,
        index: usize,
        groups: &[&dyn Run],
        outputs: &mut Vec<Tensor>,
    ) {
        let Some((group, rest)) = groups.split_first() else { return outputs.push(x) };
        let w = x.size()[COLUMNS as usize];
        let strips = cut(x, rows);
        let last = strips.len() - 1;
        for (number, strip) in strips.into_iter().enumerate() {
            let is_last = is_last && number == last;
            let edge = if is_last { StripPosition::LastStrip } else { StripPosition::Strip };
            if let Some(y) = self.run_strip(index, edge, |state| group.run(strip.contiguous(), state)) {
                let rows = (rows * y.size()[COLUMNS as usize] / w).max(1);
                self.descend(y, rows, is_last, index + 1, rest, outputs);
            }
        }
    }

    /// Adds to `x` the neighbouring rows that a kernel with this stride needs, in a frame with `zeros` rows of zeros
    /// above and below. Returns `None` if no output is determined yet.
    ///
    /// Whole frames stay as they are, because layers pad them by themselves.
    pub(crate) fn extend_rows(&mut self, x: Tensor, stride: i64, zeros: [i64; 2]) -> Option<(Tensor, RowEdges)> {
        if self.edge() == StripPosition::Whole {
            return Some((x, RowEdges::Zeros));
        }
        let zero_rows = |rows: i64| {
            let mut shape = x.size();
            shape[ROWS as usize] = rows;
            (rows > 0).then(|| Tensor::zeros(shape, (x.kind(), x.device())))
        };
        let above = self.row_slots().take(&x, ROWS).kept.or_else(|| zero_rows(zeros[0]));
        let below = if self.edge() == StripPosition::Strip { None } else { zero_rows(zeros[1]) };
        let parts: Vec<Tensor> = above.into_iter().chain([x]).chain(below).collect();
        let all = Tensor::cat(&parts, ROWS);
        drop(parts);
        let outputs = ((all.size()[ROWS as usize] - KERNEL_ROWS).div_euclid(stride) + 1).max(0);
        if self.edge() == StripPosition::Strip {
            self.row_slots().keep(&all, ROWS, outputs * stride, 0);
        }
        let needed = (outputs - 1) * stride + KERNEL_ROWS;
        (outputs > 0).then(|| (all.narrow(ROWS, 0, needed), RowEdges::Neighbours))
    }

    /// `x` in pairs of rows, with the row that waited for its pair; `None` if there is no pair yet. The frame has an even
    /// number of rows.
    pub(crate) fn pair_rows(&mut self, x: Tensor) -> Option<Tensor> {
        if self.edge() == StripPosition::Whole {
            return Some(x);
        }
        let all = match self.row_slots().take(&x, ROWS).kept {
            Some(kept) => Tensor::cat(&[kept, x], ROWS),
            None => x,
        };
        let paired = all.size()[ROWS as usize] / 2 * 2;
        if self.edge() == StripPosition::Strip {
            self.row_slots().keep(&all, ROWS, paired, 0);
        }
        (paired > 0).then(|| all.narrow(ROWS, 0, paired))
    }

    /// Like [`extend_rows`](Self::extend_rows) with stride 1 for an `x` after its causal context. In strips, both
    /// become one tensor.
    pub(crate) fn extend_rows_after(
        &mut self,
        context: CausalContext,
        x: Tensor,
        zeros: [i64; 2],
    ) -> Option<(CausalContext, Tensor, RowEdges)> {
        if self.edge() == StripPosition::Whole {
            return Some((context, x, RowEdges::Zeros));
        }
        let (x, edges) = self.extend_rows(context.join(x), 1, zeros)?;
        Some((CausalContext::NONE, x, edges))
    }

    /// Delays `x` by `lag` rows, to match a parallel branch whose output lags. Returns `None` if all rows wait.
    pub(crate) fn delay_rows(&mut self, x: Tensor, lag: i64) -> Option<Tensor> {
        if self.edge() == StripPosition::Whole || lag == 0 {
            return Some(x);
        }
        let all = match self.row_slots().take(&x, ROWS).kept {
            Some(above) => Tensor::cat(&[above, x], ROWS),
            None => x,
        };
        if self.edge() == StripPosition::LastStrip {
            return Some(all);
        }
        let ready = (all.size()[ROWS as usize] - lag).max(0);
        self.row_slots().keep(&all, ROWS, ready, 0);
        (ready > 0).then(|| all.narrow(ROWS, 0, ready).contiguous())
    }
}

/// Cuts `x` `[b, t, h, w, c]` into the number of equally high strips for which their height is nearest to `rows`.
fn cut(x: Tensor, rows: i64) -> Vec<Tensor> {
    let h = x.size()[ROWS as usize];
    let count = ((2 * h + rows) / (2 * rows)).max(1);
    let start = |strip: i64| strip * h / count;
    (0..count).map(|strip| x.narrow(ROWS, start(strip), start(strip + 1) - start(strip))).collect()
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;
    use crate::layer::Layer;

    /// Sums of three rows, with this stride and rows of zeros above and below.
    #[derive(Clone, Debug)]
    struct Sums(i64, [i64; 2]);

    impl Layer for Sums {
        fn forward(&self, x: Tensor, state: &mut StreamState) -> Option<Tensor> {
            let &Self(stride, zeros) = self;
            let x = state.delay_rows(x, 1)?;
            let (x, edges) = state.extend_rows(x, stride, zeros)?;
            let [above, below] = if edges == RowEdges::Zeros { zeros } else { [0, 0] };
            let x = x.constant_pad_nd([0, 0, 0, 0, above, below]);
            let outputs = (x.size()[2] - 3) / stride + 1;
            let part = |start| x.slice(2, start, start + (outputs - 1) * stride + 1, stride);
            Some(part(0) + part(1) + part(2))
        }
    }

    /// The sums of a frame's sums, computed in strips.
    fn sums(x: &Tensor, rows: i64, stride: i64, zeros: [i64; 2]) -> Tensor {
        let mut state = StreamState::whole_clip().in_strips(rows);
        state.restart();
        state.over_strips(x.shallow_clone(), 1, 0, &[&Sums(stride, zeros), &Sums(1, [1, 1])]).unwrap()
    }

    #[test]
    fn strips_of_any_height_join_to_the_result_of_the_whole_frame() {
        let x = Tensor::arange(12 * 2, (Kind::Float, Device::Cpu)).square().view([1, 1, 12, 2, 1]);
        for (stride, zeros, height) in [(1, [1, 1], 12), (2, [0, 1], 6)] {
            let whole = sums(&x, 12, stride, zeros);
            assert_eq!(whole.size()[2], height);
            for rows in 1..12 {
                assert!(sums(&x, rows, stride, zeros).equal(&whole), "{rows} {stride}");
            }
        }
    }
}
