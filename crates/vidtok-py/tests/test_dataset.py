"""Token datasets."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import torch
import vidtok
from safetensors.torch import save_file
from torch.utils.data import DataLoader

VIDEOS = 6


class Told:
    """Records what the native library tells of its progress."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *arguments: self.calls.append((name, *arguments))


class DatasetTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        cls.tokenizer = vidtok.Tokenizer.from_pretrained()
        (cls.folder / "videos").mkdir()
        for index in range(VIDEOS):
            torch.manual_seed(index)
            tensor = cls.folder / "tensor.safetensors"
            save_file({"video": torch.rand(1, 3, 9 + 4 * index, 16, 24) * 2 - 1}, tensor)
            # A latent decodes to a video file.
            encode = [sys.executable, "-m", "vidtok", "encode", "--fps", "25", tensor, cls.folder / "z.safetensors"]
            subprocess.run(encode, check=True)
            decode = [sys.executable, "-m", "vidtok", "decode", cls.folder / "z.safetensors"]
            subprocess.run([*decode, cls.folder / f"videos/{index}.mp4"], check=True)
        cls.tokens = cls.folder / "tokens"
        cls.counts = cls.tokenizer.tokenize(cls.folder / "videos", cls.tokens, shard_videos=2)

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def test_tokenizing_continues_where_it_was(self):
        self.assertEqual(self.counts[0], VIDEOS)
        self.assertEqual(self.tokenizer.tokenize(self.folder / "videos", self.tokens, shard_videos=2), (0, 0))
        with self.assertRaises(vidtok.DatasetError):
            self.tokenizer.tokenize(self.folder / "videos", self.tokens, shard_videos=2, shorter_side=8)

    def test_progress_is_told_and_skipped_videos_are_logged(self):
        with tempfile.TemporaryDirectory() as folder:
            videos, tokens = Path(folder) / "videos", Path(folder) / "tokens"
            videos.mkdir()
            (videos / "0.mp4").write_bytes((self.folder / "videos/0.mp4").read_bytes())
            (videos / "broken.mp4").write_bytes(b"no video")
            told = Told()
            settings = vidtok.tokenizer.tokenize_settings(None, None, None, 2, "safetensors", 4 << 30, 1)
            self.tokenizer._native.tokenize((str(videos), str(tokens)), settings, 0, 1, told)
            self.assertEqual(told.calls[0], ("start", 2, 0, "videos"))
            self.assertEqual([call for call in told.calls if call[0] == "advance" and call[1] > 0], [("advance", 1)] * 2)

            with self.assertLogs("vidtok", "WARNING") as logs:
                counts = self.tokenizer.tokenize(videos, Path(folder) / "again", progress=False)
            self.assertEqual(counts[0], 1)
            self.assertRegex(logs.output[0], "skipped: broken.mp4")

    def test_stretches_are_those_of_the_whole_video(self):
        dataset = vidtok.TokenDataset(self.tokens)
        self.assertEqual(len(dataset), VIDEOS)
        for item in range(VIDEOS):
            whole = dataset.read(item)
            self.assertEqual(list(whole.tokens.shape), [16, 3 + item, 2, 3])
            part = dataset.read(item, 1, 2)
            self.assertTrue(torch.equal(part.tokens, whole.tokens[:, 1:3]))
            self.assertTrue(torch.equal(part.logvar, whole.logvar[:, 1:3]))
            expected = self.tokenizer.encode_video(self.folder / f"videos/{item}.mp4").latent
            self.assertTrue(torch.allclose(whole.tokens.float(), expected[0], atol=2e-2, rtol=2e-3))
        with self.assertRaises(IndexError):
            dataset.read(0, 2, 2)

    def test_a_data_loader_reads_every_video_once_with_any_number_of_workers(self):
        dataset = vidtok.TokenDataset(self.tokens, frames=3)
        for workers in (0, 2):
            seen = []
            for batch in DataLoader(dataset, batch_size=2, shuffle=True, num_workers=workers):
                self.assertEqual(list(batch["mean"].shape), [2, 16, 3, 2, 3])
                seen += batch["key"]
            self.assertEqual(sorted(seen), [str(index) for index in range(VIDEOS)])
        self.assertEqual(len(vidtok.TokenDataset(self.tokens, frames=5)), VIDEOS - 2)

    def test_shards_are_divided_among_workers_and_processes(self):
        for workers, world_size in ((0, 1), (2, 1), (0, 3)):
            seen = []
            for rank in range(world_size):
                dataset = vidtok.IterableTokenDataset(self.tokens, frames=2, shuffle=4, rank=rank, world_size=world_size)
                seen += [key for batch in DataLoader(dataset, num_workers=workers) for key in batch["key"]]
            self.assertEqual(sorted(seen), [str(index) for index in range(VIDEOS)])


if __name__ == "__main__":
    unittest.main()
