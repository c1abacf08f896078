"""Encoding and decoding, streams, errors and threads, beside the command line of the same installation."""

import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import torch
import vidtok
from safetensors.torch import load_file, save_file

VIDTOK = [sys.executable, "-m", "vidtok"]


def clip(frames=17, height=48, width=64):
    torch.manual_seed(0)
    return torch.rand(1, 3, frames, height, width) * 2 - 1


class TokenizerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.tokenizer = vidtok.Tokenizer.from_pretrained()

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_numbers_are_those_of_the_command_line_to_the_bit(self):
        save_file({"video": clip()}, self.folder / "video.safetensors")
        subprocess.run([*VIDTOK, "encode", "video.safetensors", "encoded.safetensors"], cwd=self.folder, check=True)
        subprocess.run([*VIDTOK, "decode", "encoded.safetensors", "decoded.safetensors"], cwd=self.folder, check=True)
        encoded = self.tokenizer.encode(clip())
        theirs = load_file(self.folder / "encoded.safetensors")
        self.assertTrue(torch.equal(encoded.latent, theirs["latent"]))
        self.assertTrue(torch.equal(encoded.logvar, theirs["logvar"]))
        decoded = load_file(self.folder / "decoded.safetensors")["video"]
        self.assertTrue(torch.equal(self.tokenizer.decode(encoded), decoded))
        loaded = self.tokenizer.load_encoded(self.folder / "encoded.safetensors")
        self.assertTrue(torch.equal(loaded.latent, encoded.latent))
        self.assertEqual(loaded.padding, encoded.padding)

    def test_tensors_share_their_memory(self):
        encoded = self.tokenizer.encode(clip())
        first = encoded.latent
        first.fill_(0.5)
        self.assertTrue(torch.equal(encoded.latent, first))
        self.assertEqual(encoded.latent.data_ptr(), first.data_ptr())

    def test_a_latent_of_another_program_decodes_as_the_clip_does(self):
        encoded = self.tokenizer.encode(clip())
        self.assertTrue(torch.equal(self.tokenizer.decode(encoded.latent.clone()), self.tokenizer.decode(encoded)))
        padding = vidtok.Padding(front=3, back=0, bottom=2, right=1)
        self.assertEqual(list(self.tokenizer.decode(encoded.latent, padding=padding).shape), [1, 3, 17, 46, 63])

    def test_a_stream_gives_the_latent_and_the_frames_of_the_whole_clip(self):
        video, whole = clip(21), self.tokenizer.encode(clip(21))
        encoder = self.tokenizer.stream_encoder(48, 64)
        parts = [encoder.push(video[:, :, :6]), encoder.push(video[:, :, 6:13])]
        encoder.save(self.folder / "state.safetensors")
        encoder = self.tokenizer.restore_stream_encoder(self.folder / "state.safetensors")
        parts += [encoder.push(video[:, :, 13:]), encoder.finish()]
        latent = torch.cat([part.latent for part in parts if part is not None], 2)
        self.assertTrue(torch.allclose(latent, whole.latent, atol=1e-4))
        decoder = self.tokenizer.stream_decoder(padding=whole.padding)
        frames = [decoder.push(latent[:, :, :2]), decoder.push(latent[:, :, 2:]), decoder.finish()]
        frames = torch.cat([frame for frame in frames if frame is not None], 2)
        self.assertTrue(torch.allclose(frames, self.tokenizer.decode(whole), atol=1e-3))
        with self.assertRaises(vidtok.StreamClosedError):
            decoder.push(latent)
        with self.assertRaises(vidtok.StreamClosedError):
            encoder.finish()

    def test_an_error_in_a_stream_ends_it(self):
        encoder = self.tokenizer.stream_encoder(48, 64)
        with self.assertRaises(vidtok.InputError):
            encoder.push(clip(5, 32, 32))
        with self.assertRaises(vidtok.StreamClosedError):
            encoder.push(clip(5))
        # The thread that it had is free again.
        self.assertEqual(list(self.tokenizer.encode(clip(5)).latent.shape), [1, 16, 2, 6, 8])

    def test_wrong_arguments_are_exceptions_of_one_hierarchy(self):
        video = clip(5)
        for error, call in [
            (vidtok.InputError, lambda: self.tokenizer.encode(video[0])),
            (vidtok.InputError, lambda: self.tokenizer.encode(video[:, :2])),
            (vidtok.InputError, lambda: self.tokenizer.encode(video * 100)),
            (vidtok.InputError, lambda: self.tokenizer.encode(video.long())),
            (vidtok.InputError, lambda: self.tokenizer.encode(video.to("meta"))),
            (vidtok.InputError, lambda: self.tokenizer.decode(torch.zeros(1, 7, 2, 4, 4))),
            (vidtok.InputError, lambda: self.tokenizer.decode(torch.zeros(1, 2, 4, 4, dtype=torch.int32))),
            (vidtok.ModelError, lambda: vidtok.Tokenizer.from_pretrained(self.folder / "missing.safetensors")),
            (vidtok.ModelError, lambda: vidtok.Tokenizer.from_pretrained("hf:owner")),
            (vidtok.ModelError, lambda: vidtok.Tokenizer.from_pretrained("folder/missing.safetensors")),
            (vidtok.VideoError, lambda: self.tokenizer.encode_video(self.folder / "missing.mp4")),
            (vidtok.DatasetError, lambda: vidtok.TokenDataset(self.folder)),
        ]:
            with self.assertRaises(error) as caught:
                call()
            self.assertIsInstance(caught.exception, vidtok.VidTokError)
            self.assertEqual(len(str(caught.exception).splitlines()), 1)
        with self.assertRaises(TypeError):
            self.tokenizer.encode("video.mp4")
        with self.assertRaises(ValueError):
            vidtok.Tokenizer.from_pretrained(dtype=torch.float64)

    @unittest.skipIf(torch.cuda.is_available(), "there is a GPU")
    def test_a_missing_gpu_is_named(self):
        with self.assertRaisesRegex(vidtok.InputError, "driver|GPU|CUDA"):
            vidtok.Tokenizer.from_pretrained(device="cuda")

    def test_two_threads_encode_at_once(self):
        video = clip(9)
        expected = self.tokenizer.encode(video).latent
        found = [None] * 4

        def work(index):
            found[index] = self.tokenizer.encode(video).latent

        threads = [threading.Thread(target=work, args=(index,)) for index in range(len(found))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for latent in found:
            self.assertTrue(torch.allclose(latent, expected, atol=1e-5))

    def test_ctrl_c_interrupts_within_a_second(self):
        program = (
            "import signal, torch, vidtok\n"
            # A shell starts background jobs with the signal ignored.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "tokenizer = vidtok.Tokenizer.from_pretrained()\n"
            "print('ready', flush=True)\n"
            "try:\n"
            "    tokenizer.encode(torch.zeros(1, 3, 129, 512, 512))\n"
            "except KeyboardInterrupt:\n"
            "    print('interrupted', flush=True)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
        self.assertEqual(child.stdout.readline(), "ready\n")
        time.sleep(1)
        start = time.monotonic()
        child.send_signal(signal.SIGINT)
        self.assertEqual(child.stdout.readline(), "interrupted\n")
        self.assertLess(time.monotonic() - start, 1)
        self.assertEqual(child.wait(), 0)
        child.stdout.close()

    def test_metrics_have_their_closed_forms(self):
        grey = torch.full((1, 3, 2, 32, 32), 0.5)
        self.assertAlmostEqual(vidtok.metrics.psnr(grey, grey + 0.1), 20.0, places=3)
        self.assertAlmostEqual(vidtok.metrics.ssim(grey, grey), 1.0, places=5)
        with self.assertRaises(vidtok.InputError):
            vidtok.metrics.psnr(grey, grey[:, :, :1])


if __name__ == "__main__":
    unittest.main()
