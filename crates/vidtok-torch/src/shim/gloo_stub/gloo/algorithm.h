// ProcessGroupGloo.hpp includes this and uses nothing of it; see README.md.
#pragma once
