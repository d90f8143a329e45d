"""Mistakes in custom operators, custom optimizers and custom loops."""

from tests.mistakes.mistake import Mistake

MISTAKES = (
    Mistake(
        "forward returns the value alone",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op()).forward(X)
""",
        says="op (Op) | It returned a Tensor | forward returns (output, saved) | as in `return y, x`",
    ),
    Mistake(
        "forward returns a list",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return [x, None]
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op()).forward(X)
""",
        says="op (Op) | It returned a list | forward returns (output, saved) | as in `return y, x`",
    ),
    Mistake(
        "forward returns nothing",
        """
class Op(Operator):
    def forward(self, p, x, *, training): pass
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op()).forward(X)
""",
        says="op (Op) | It returned a NoneType | forward returns (output, saved) | as in `return y, x`",
    ),
    Mistake(
        "forward returns a number",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return 1.0, None
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op(), tanh=Tanh()).forward(X)
""",
        says="tanh (Tanh) | a float from op | failed in forward | must be Tensor",
    ),
    Mistake(
        "forward without p",
        """
class Op(Operator):
    def forward(self, x, *, training): return x, None
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op()).forward(X)
""",
        says="op (Op) | failed in forward | takes 2 positional arguments | (8, 2) float32 from the input x",
    ),
    Mistake(
        "forward without training",
        """
class Op(Operator):
    def forward(self, p, x): return x, None
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op()).forward(X)
""",
        says="op (Op) | failed in forward | unexpected keyword argument 'training' | (8, 2) float32 from the input x",
    ),
    Mistake(
        "forward raises an error",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x.foo, None
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op()).forward(X)
""",
        says="op (Op) | failed in forward | no attribute 'foo' | (8, 2) float32 from the input x",
    ),
    Mistake(
        "backward returns one gradient alone",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x, None
    def backward(self, p, saved, dy): return dy
train(chain('y', fc=Linear(2, 2), op=Op(), loss=MSELoss()))
""",
        says="op (Op) | it returned a Tensor | a tuple of one gradient or None for each input | graphdl.check_gradients",
    ),
    Mistake(
        "backward returns no parameter gradients",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x, None
    def backward(self, p, saved, dy): return (dy,)
train(chain('y', fc=Linear(2, 2), op=Op(), loss=MSELoss()))
""",
        says="op (Op) | it returned a tuple of 1 | a dictionary of its parameters' gradients | graphdl.check_gradients",
    ),
    Mistake(
        "backward returns too many gradients",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x, None
    def backward(self, p, saved, dy): return (dy, dy), {}
train(chain('y', fc=Linear(2, 2), op=Op(), loss=MSELoss()))
""",
        says="op (Op) | it returned 2 as gradients of its inputs | it has 1 | graphdl.check_gradients",
    ),
    Mistake(
        "backward returns a gradient of another shape",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x.sum(1, keepdim=True), None
    def backward(self, p, saved, dy): return (dy,), {}
train(chain('y', fc=Linear(2, 2), op=Op(), loss=MSELoss()), {'x': X, 'y': Y[:, :1]})
""",
        says="op (Op) | (4, 1) for its input from fc | whose value has the shape (4, 2) | graphdl.check_gradients",
    ),
    Mistake(
        "backward returns nothing",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x, None
    def backward(self, p, saved, dy): pass
train(chain('y', fc=Linear(2, 2), op=Op(), loss=MSELoss()))
""",
        says="op (Op) | it returned a NoneType | A backward returns a tuple | graphdl.check_gradients",
    ),
    Mistake(
        "backward forgets a parameter",
        """
class Op(Operator):
    def parameters(self): return {'w': graphdl.operators.Parameter((), Normal(0, 1))}
    def forward(self, p, x, *, training): return p['w'] * x, x
    def backward(self, p, x, dy): return (p['w'] * dy,), {}
train(chain('y', op=Op(), loss=MSELoss()))
""",
        says="op: its backward | no gradient of the parameter 'w' | (gradients of the inputs, {name: gradient of each parameter}) | backward returns",
    ),
    Mistake(
        "backward names another parameter",
        """
class Op(Operator):
    def parameters(self): return {'w': graphdl.operators.Parameter((), Normal(0, 1))}
    def forward(self, p, x, *, training): return p['w'] * x, x
    def backward(self, p, x, dy): return (p['w'] * dy,), {'weight': (x * dy).sum()}
train(chain('y', op=Op(), loss=MSELoss()))
""",
        says="op (Op) | a gradient of 'weight' | which is not its parameter | backward",
    ),
    Mistake(
        "backward returns a parameter's gradient of another shape",
        """
class Op(Operator):
    def parameters(self): return {'w': graphdl.operators.Parameter((2,), Normal(0, 1))}
    def forward(self, p, x, *, training): return p['w'] * x, x
    def backward(self, p, x, dy): return (p['w'] * dy,), {'w': x * dy}
train(chain('y', op=Op(), loss=MSELoss()))
""",
        says="op (Op) | the gradient of the parameter 'w' has the shape (4, 2) | the parameter (2,) | see graphdl.check_gradients",
    ),
    Mistake(
        "a wrong gradient",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x ** 2, x
    def backward(self, p, x, dy): return (x * dy,), {}
check_gradients(Op(), X)
""",
        says="The gradient of the input 0 | 2.3104 | the difference quotient is | backward is not the derivative of forward",
    ),
    Mistake(
        "parameters as tensors",
        """
class Op(Operator):
    def parameters(self): return {'w': torch.ones(2)}
    def forward(self, p, x, *, training): return p['w'] * x, x
    def backward(self, p, x, dy): return (p['w'] * dy,), {'w': (x * dy).sum(0)}
chain(op=Op())
""",
        says="op (Op) | declares 'w' as a Tensor | {name: Parameter(shape, initializer)} | the network owns the tensors",
    ),
    Mistake(
        "forward changes its input",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x.mul_(2), None
    def backward(self, p, saved, dy): return (dy * 2,), {}
check_gradients(Op(), X.clone())
""",
        says="the input 0 | wrote into | does not belong to the operator | write into a new tensor",
    ),
    Mistake(
        "backward changes dy",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x * 2, None
    def backward(self, p, saved, dy): return (dy.mul_(2),), {}
check_gradients(Op(), X.clone())
""",
        says="the gradient dy of 'Op' | wrote into | does not belong to the operator | write into a new tensor",
    ),
    Mistake(
        "random numbers outside draw",
        """
class Op(Operator):
    def forward(self, p, x, *, training):
        m = torch.rand_like(x)
        return x * m, m
    def backward(self, p, m, dy): return (dy * m,), {}
check_gradients(Op(), X)
""",
        says="The gradient of the input 0 | is | the difference quotient is | backward is not the derivative of forward",
    ),
    Mistake(
        "a setting that is not declared",
        """
@register
class Op1(Operator):
    k: int = 2
    def forward(self, p, x, *, training): return x * self.k, None
    def backward(self, p, saved, dy): return (dy * self.k,), {}
Op1(j=3)
""",
        says="Op1 | 'j' | has no setting | It has k",
    ),
    Mistake(
        "a custom operator that is not registered, saved",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return x, None
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op()).save('model.json')
""",
        says="operators['op'] | a Op | cannot be stored | registered by @graphdl.register",
    ),
    Mistake(
        "a name of a built-in operator registered again",
        """
@register
class Linear(Operator):
    def forward(self, p, x, *, training): return x, None
    def backward(self, p, saved, dy): return (dy,), {}
""",
        says="register | the name Linear | belongs to graphdl.operators.linear.Linear | Give the class another name",
    ),
    Mistake(
        "check_gradients of a class",
        "check_gradients(Tanh, X)",
        says="check_gradients | the class Tanh | takes an operator or a network | write Tanh(...)",
    ),
    Mistake(
        "check_gradients without inputs",
        "check_gradients(Tanh())",
        says="check_gradients | 0 were given | Tanh takes input | an example of each of its inputs",
    ),
    Mistake(
        "a custom loss that is not a Loss",
        """
class Mine(Operator):
    slots = ('prediction', 'target')
    def forward(self, p, x, t, *, training): return ((x - t) ** 2).mean(), x - t
    def backward(self, p, d, dy): return (2 * d * dy / d.numel(), None), {}
train(chain('y', fc=Linear(2, 2), loss=Mine()))
""",
        says="fit needs a loss | has no loss node | add one | such as MSELoss()",
    ),
    Mistake(
        "values as numpy in forward",
        """
class Op(Operator):
    def forward(self, p, x, *, training): return np.tanh(x.numpy()), None
    def backward(self, p, saved, dy): return (dy,), {}
chain(op=Op(), tanh=Tanh()).forward(X)
""",
        says="tanh (Tanh) | a numpy.ndarray from op | failed in forward | must be Tensor",
    ),
    Mistake(
        "an optimizer that returns its step",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return ()
    def update(self, w, g, state, s): return -s.lr * g, ()
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | update returned the same for other parameters w | (next w, next state) | write w - s.lr * g",
    ),
    Mistake(
        "an optimizer that returns the parameters alone",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return ()
    def update(self, w, g, state, s): return w - s.lr * g
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | update returned a Tensor | it must return | (next w, (each next state, ...))",
    ),
    Mistake(
        "an optimizer that writes in place and returns nothing",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return ()
    def update(self, w, g, state, s): w.sub_(s.lr * g)
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | update returned a NoneType | it must return | (next w, (each next state, ...))",
    ),
    Mistake(
        "an optimizer that returns the parameters as they were",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return ()
    def update(self, w, g, state, s): return w, ()
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | the first update changed no parameter | gradients and learning rate are not 0 | Check that `update` returns the next parameters",
    ),
    Mistake(
        "an optimizer that forgets its state",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return (torch.zeros_like(w),)
    def update(self, w, g, state, s): return w - s.lr * g, ()
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | update returned 0 states | `state` returned 1 | returned",
    ),
    Mistake(
        "an optimizer whose state is a tensor",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return torch.zeros_like(w)
    def update(self, w, g, state, s): return w - s.lr * g, state
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | state returned a Tensor | must return a tuple of tensors | (state,)",
    ),
    Mistake(
        "an optimizer that changes the gradient",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return ()
    def update(self, w, g, state, s): return w - g.mul_(s.lr), ()
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | update changes the gradient g in place | it must return | new tensors",
    ),
    Mistake(
        "an optimizer that reads a misspelt number",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return ()
    def update(self, w, g, state, s): return w - s.learning_rate * g, ()
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | 'learning_rate' | an update has no number | It has lr and t",
    ),
    Mistake(
        "an optimizer that returns another shape",
        """
@dataclass(frozen=True)
class Mine(Optimizer):
    def state(self, w): return ()
    def update(self, w, g, state, s): return (w - s.lr * g).sum(), ()
train(mlp(), optimizer=Mine(lr=0.1))
""",
        says="Mine | a tensor of the shape () | it must have the shape | (50,)",
    ),
    Mistake(
        "backward before forward",
        "mlp().backward()",
        says="backward | has no values to start from | call net.forward(inputs) first | net.predict records nothing",
    ),
    Mistake(
        "a step before backward",
        """
net = mlp()
stepper = Adam().bind(net)
net.forward({'x': X, 'y': Y})
stepper.step()
""",
        says="step | needs gradients | of its network | call net.forward(inputs) and net.backward() first",
    ),
    Mistake(
        "backward forgotten in a loop",
        """
net = mlp()
stepper = Adam().bind(net)
for _ in range(2):
    net.forward({'x': X, 'y': Y})
    if not stepper.steps: net.backward()
    stepper.step()
""",
        says="step | was called again with the same gradients | net.forward(inputs) has been called since | call net.backward() before each step",
    ),
    Mistake(
        "step of a stepper of another network",
        """
net, other = mlp(), mlp()
stepper = Adam().bind(other)
net.forward({'x': X, 'y': Y})
net.backward()
stepper.step()
""",
        says="step | needs gradients | of its network | call net.forward(inputs) and net.backward() first",
    ),
    Mistake(
        "predict in place of forward in a loop",
        """
net = mlp()
stepper = Adam().bind(net)
net.predict(X)
net.backward()
""",
        says="backward | has no values to start from | call net.forward(inputs) first | net.predict records nothing",
    ),
    Mistake(
        "step of an optimizer that is not bound",
        """
net = mlp()
net.forward({'x': X, 'y': Y})
net.backward()
Adam().step()
""",
        says="Adam | no 'step' | unlike an optimizer of torch | stepper = optimizer.bind(net)",
    ),
    Mistake(
        "a new stepper in every step",
        """
net = mlp()
for _ in range(3):
    net.forward({'x': X, 'y': Y})
    net.backward()
    Adam().bind(net).step()
""",
        says="Adam | each of the last 3 steps was made by a new stepper | is lost | Call optimizer.bind(net) once, before the loop",
    ),
    Mistake(
        "bind of the parameters",
        "Adam().bind(mlp().parameters)",
        says="Adam.bind | NamedTensors | takes a graphdl.Network | Adam(lr=1e-3).bind(net)",
    ),
    Mistake(
        "backward of a tensor",
        """
net = mlp()
loss = net.forward({'x': X, 'y': Y})['loss']
net.backward(loss)
""",
        says="backward | not tensor( | the gradients to start from by node | {node: gradient}",
    ),
    Mistake(
        "backward of a misspelt node",
        """
net = mlp()
net.forward({'x': X, 'y': Y})
net.backward({'los': torch.tensor(1.0)})
""",
        says="backward | 'los' | is not a node of the network | Did you mean 'loss'?",
    ),
    Mistake(
        "backward of a gradient of another shape",
        """
net = mlp()
net.forward({'x': X, 'y': Y})
net.backward({'fc2': torch.ones(8, 3)})
""",
        says="the value of fc2 | (8, 3) | has the shape (8, 2) | the gradient given",
    ),
    Mistake(
        "backward without a loss",
        """
net = chain(fc=Linear(2, 2))
net.forward(X)
net.backward()
""",
        says="no loss node | to start from | Add one, such as MSELoss() | net.backward({node: gradient})",
    ),
    Mistake(
        "threads of torch in a long loop",
        """
import unittest.mock
net = mlp()
stepper = Adam().bind(net)
with unittest.mock.patch('torch.get_num_threads', return_value=8):
    for _ in range(101):
        net.forward({'x': X, 'y': Y})
        net.backward()
        stepper.step()
""",
        says="The steps of this loop | 8 threads | one thread is faster | Call torch.set_num_threads(1)",
    ),
    Mistake(
        "two threads that train one network",
        """
import time
net = mlp()
held, go = threading.Event(), threading.Event()
def wait(net, history): held.set(); go.wait(10)
thread = threading.Thread(target=lambda: train(net, callbacks=[wait]))
thread.start()
held.wait(10)
try: train(net)
finally:
    go.set()
    thread.join()
""",
        says="fit | another thread is training this network | One thread trains a network at a time | copy.deepcopy(net)",
    ),
    Mistake(
        "two threads with a loop each",
        """
net = mlp()
net.forward({'x': X, 'y': Y})
thread = threading.Thread(target=net.forward, args=({'x': X, 'y': Y},))
thread.start()
thread.join()
net.backward()
""",
        says="net.backward | another thread has called net.forward since | One thread trains a network at a time | copy.deepcopy(net)",
    ),
)
