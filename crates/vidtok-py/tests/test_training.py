"""A tokenizer as a torch.nn.Module."""

import tempfile
import unittest
from pathlib import Path

import torch
import vidtok


class ModuleTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)
        self.tokenizer = vidtok.Tokenizer.from_pretrained()
        self.module = self.tokenizer.module()
        self.video = torch.rand(1, 3, 5, 16, 16) * 2 - 1

    def loss(self):
        # The latent is sampled.
        torch.manual_seed(0)
        output = self.module(self.video)
        return (output.reconstruction - self.video).square().mean() + output.loss

    def test_parameters_have_the_published_names(self):
        names = set(self.module.state_dict())
        self.assertEqual(names, set(self.tokenizer.state_dict()))
        self.assertIn("encoder.conv_in.conv.weight", names)

    def test_gradients_are_those_of_finite_differences(self):
        self.loss().backward()
        for name, parameter in self.module.named_parameters():
            if not name.endswith("conv_out.conv.weight"):
                continue
            direction = parameter.grad / parameter.grad.norm()
            with torch.no_grad():
                step = 1e-2
                parameter += step * direction
                above = self.loss().item()
                parameter -= 2 * step * direction
                below = self.loss().item()
                parameter += step * direction
            measured = (above - below) / (2 * step)
            self.assertAlmostEqual(measured / parameter.grad.norm().item(), 1.0, delta=0.05, msg=name)

    def test_an_optimizer_changes_what_the_tokenizer_computes(self):
        before, hash_before = self.tokenizer.encode(self.video).latent.clone(), self.tokenizer.weights_sha256
        optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-4)
        losses = []
        for _ in range(5):
            optimizer.zero_grad()
            loss = self.loss()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        self.assertLess(losses[-1], losses[0])
        self.assertFalse(torch.equal(self.tokenizer.encode(self.video).latent, before))
        self.assertNotEqual(self.tokenizer.weights_sha256, hash_before)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "trained.safetensors"
            self.tokenizer.save_pretrained(path, origin="a test")
            again = vidtok.Tokenizer.from_pretrained(path)
            self.assertEqual(again.weights_sha256, self.tokenizer.weights_sha256)

    def test_a_graph_works_once_and_a_module_stays_where_it_is(self):
        loss = self.loss()
        loss.backward(retain_graph=True)
        with self.assertRaises(vidtok.InputError):
            loss.backward()
        self.module.to("cpu")
        with self.assertRaises(RuntimeError):
            self.module.half()


if __name__ == "__main__":
    unittest.main()
