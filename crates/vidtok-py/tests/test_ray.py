"""A Ray cluster that reads videos through the S3 protocol. It needs ray[data], moto[server] and boto3."""

import filecmp
import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import unittest
from pathlib import Path

import vidtok

NEEDED = ("ray", "moto", "boto3", "pyarrow")
VIDEOS, SHARD_VIDEOS = 50, 5


def process_ids(word):
    """The processes whose command line has this word."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if word.encode() in (folder / "cmdline").read_bytes():
                yield int(folder.name)
        except OSError:
            continue


@unittest.skipUnless(all(map(importlib.util.find_spec, NEEDED)), f"needs {', '.join(NEEDED)}")
class RayTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        import boto3
        import pyarrow.fs
        import ray
        from moto.server import ThreadedMotoServer

        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = Path(cls.temporary.name)
        cls.server = ThreadedMotoServer(port=0)
        cls.server.start()
        host, port = cls.server.get_host_and_port()
        keys = {"aws_access_key_id": "key", "aws_secret_access_key": "secret"}
        client = boto3.client("s3", endpoint_url=f"http://{host}:{port}", region_name="us-east-1", **keys)
        client.create_bucket(Bucket="clips")
        (cls.folder / "videos/more").mkdir(parents=True)
        ffmpeg = os.environ.get("VIDTOK_FFMPEG", "ffmpeg")
        for index in range(VIDEOS):
            name = f"{'more/' if index % 3 == 0 else ''}{index:02}.mp4"
            # Testing patterns of different lengths.
            source = f"testsrc=size=64x48:rate=25:d={0.4 + 0.04 * index}"
            path = cls.folder / "videos" / name
            subprocess.run([ffmpeg, "-v", "error", "-f", "lavfi", "-i", source, "-frames:v", str(9 + index), path], check=True)
            client.upload_file(str(path), "clips", f"videos/{name}")
        cls.s3 = pyarrow.fs.S3FileSystem(
            endpoint_override=f"{host}:{port}", scheme="http", access_key="key", secret_key="secret", region="us-east-1"
        )
        ray.init(num_cpus=2, include_dashboard=False, logging_level="error")

    @classmethod
    def tearDownClass(cls):
        import ray

        ray.shutdown()
        cls.server.stop()
        cls.temporary.cleanup()

    def test_a_killed_worker_loses_and_doubles_nothing(self):
        import vidtok.ray

        alone, cluster = self.folder / "alone", self.folder / "cluster"
        settings = {"shard_videos": SHARD_VIDEOS}
        killed = []

        def kill():
            while len(list(cluster.glob("statistics/*.safetensors"))) < 2:
                time.sleep(0.05)
            killed.append(next(process_ids("ray::MapWorker(MapBatches(_TokenizeShards)")))
            os.kill(killed[0], signal.SIGKILL)

        killer = threading.Thread(target=kill, daemon=True)
        killer.start()
        done = vidtok.ray.tokenize(None, "clips/videos", str(cluster), filesystem=self.s3, concurrency=2, **settings)
        killer.join(timeout=1)
        self.assertEqual(len(killed), 1)
        self.assertEqual(done["shards"], VIDEOS // SHARD_VIDEOS)
        self.assertEqual(done["manifest"]["totals"]["videos"], VIDEOS)

        # The last bits depend on the number of threads, and Ray gives a worker as many as it has processors: one.
        program = (
            "import sys, vidtok\n"
            "vidtok.Tokenizer.from_pretrained().tokenize(sys.argv[1], sys.argv[2], shard_videos=int(sys.argv[3]))"
        )
        arguments = [str(self.folder / "videos"), str(alone), str(SHARD_VIDEOS)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run([sys.executable, "-c", program, *arguments], env=environment, check=True)
        for folder in ("", "shards", "statistics"):
            names = sorted(path.name for path in (alone / folder).iterdir() if path.is_file())
            found = sorted(path.name for path in (cluster / folder).iterdir() if path.is_file())
            self.assertEqual(found, names)
            same, different, unreadable = filecmp.cmpfiles(alone / folder, cluster / folder, names, shallow=False)
            self.assertEqual((different, unreadable), ([], []))
        again = vidtok.ray.tokenize(None, "clips/videos", str(cluster), filesystem=self.s3, **settings)
        self.assertEqual(again["shards"], 0)

    def test_latents_come_as_columns_with_the_reason_for_bad_videos(self):
        import ray
        import vidtok.ray

        paths = ["clips/videos/01.mp4", "clips/videos/02.mp4", "clips/videos/missing.mp4"]
        rows = ray.data.from_items([{"path": path} for path in paths])
        encode = rows.map_batches(
            vidtok.ray.Encode, fn_constructor_kwargs={"filesystem": self.s3}, batch_size=2, compute=ray.data.ActorPoolStrategy(size=1)
        )
        encode.write_parquet(str(self.folder / "latents"))
        found = {row["path"]: row for row in ray.data.read_parquet(str(self.folder / "latents")).iter_rows()}
        self.assertEqual(sorted(found), sorted(paths))
        expected = vidtok.Tokenizer.from_pretrained().encode_video(self.folder / "videos/02.mp4").latent[0]
        latent = found[paths[1]]["latent"]
        self.assertEqual(list(latent.shape), list(expected.shape))
        self.assertLess(abs(latent.astype("float32") - expected.numpy()).max(), 0.02)
        self.assertEqual(found[paths[1]]["error"], "")
        self.assertIn("missing.mp4", found[paths[2]]["error"])


if __name__ == "__main__":
    unittest.main()
